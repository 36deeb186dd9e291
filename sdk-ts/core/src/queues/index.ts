export * from "./barrier.ts";
export * from "./fold.ts";
export { type FoldRule, holderStep } from "./holder.ts";
export * from "./holder-state.ts";
export * from "./node-lease.ts";
export * from "./queue-record.ts";
export * from "./queue-timers.ts";
export * from "./swap.ts";
