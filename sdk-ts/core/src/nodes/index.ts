export type { WindowParams } from "./block-sums.ts";
export type { BollingerParams } from "./bollinger.ts";
export { type CatalogueEntry, catalogue } from "./catalogue.ts";
export { type FoldState, StateLayout } from "./fold-state.ts";
export type { SideBounds } from "./hysteresis.ts";
export type {
  Column,
  Kernel,
  KernelPorts,
  KernelSpec,
  KernelState,
  OutputKind,
  Slot,
} from "./kernel.ts";
export { numbers } from "./kernel.ts";
export type { LagParams } from "./lag-kernel.ts";
export type { OutputRecord } from "./output-values.ts";
export type { PortView } from "./port-values.ts";
export type { PositionTargetParams } from "./position-target.ts";
export {
  parseRebalanceSchedule,
  periodEndAfter,
  type RebalanceSchedule,
  rebalanceScheduleText,
} from "./rebalance-schedule.ts";
export { type RebalancedTargetParams, rebalancedTarget } from "./rebalanced-target.ts";
export type { StddevParams } from "./stddev.ts";
export {
  type MakeCall,
  type MakeOutputsCall,
  type NodeParams,
  type ParamValue,
  userCompute,
  userOutputs,
  type Windows,
} from "./user-compute.ts";
export { userDerive } from "./user-derive.ts";
export { userFold } from "./user-fold.ts";
export type { WeightTargetParams } from "./weight-target.ts";
