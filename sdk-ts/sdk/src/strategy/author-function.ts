import type { NodeKernel } from "@qmtl/core/dataflow";
import { type MakeCall, type MakeOutputsCall, userCompute, userOutputs } from "@qmtl/core/nodes";
import { invalid } from "./declaration-error.ts";

/**
 * Refuses what cannot be an author's function: not a function, async or a generator, or one that takes more than it is
 * given.
 *
 * @param takes names of what it is given, for the message
 */
export function checkCompute(
  field: string,
  compute: (...args: never[]) => unknown,
  takes: readonly string[],
): void {
  if (typeof compute !== "function") throw invalid(field, "must be a function");
  if (compute.length > takes.length) {
    throw invalid(field, `takes (${takes.join(", ")}) and nothing else`);
  }
  if (compute.constructor.name !== "Function") {
    throw invalid(field, `must be a plain function, not ${compute.constructor.name}`);
  }
}

/** Refuses a result that is neither a number nor `null`. */
export function checkResult(value: unknown, fn = "compute"): number | null {
  if (typeof value === "number" || value === null) return value;
  throw new TypeError(`${fn} returned ${typeof value}; it must return a number or null`);
}

/** Kernel that calls an author's function with windows of `period` rows. */
export function authorKernel(period: number, makeCall: MakeCall): NodeKernel {
  const params = { period, makeCall };
  return {
    lookback: userCompute.lookback(params),
    warmup: userCompute.warmup(params),
    readsWindows: true,
    create: () => userCompute.create(params),
  };
}

/** Likewise of a function that writes several outputs. */
export function outputsKernel(
  period: number,
  outputs: readonly string[],
  makeCall: MakeOutputsCall,
): NodeKernel {
  const params = { period, outputs, makeCall };
  return {
    lookback: userOutputs.lookback(params),
    warmup: userOutputs.warmup(params),
    readsWindows: true,
    create: () => userOutputs.create(params),
  };
}
