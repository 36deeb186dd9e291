export { type CatalogueEntry, catalogue } from "./catalogue.ts";
export type {
  ClockMaps,
  Column,
  Kernel,
  KernelSpec,
  KernelState,
  OutputKind,
  Slot,
} from "./kernel.ts";
export type { NodeParams, ParamValue, Windows } from "./user-compute.ts";
