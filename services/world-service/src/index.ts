export {
  createWorldService,
  type WorldServiceDeps,
  type WorldServiceInstance,
} from "./create-world-service.ts";
export {
  type RestoredWorld,
  type RestoreOptions,
  restoreWorlds,
} from "./restore/restore-worlds.ts";
export { liveGuardHeader } from "./rpc/activation-handlers.ts";
