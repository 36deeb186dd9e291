export type { DagManagerConfig } from "./dag-manager-options.ts";
export { createDagManager, type DagManager, type DagManagerDeps } from "./from-config.ts";
export { restoreQueues } from "./restore/restore-queues.ts";
