import type { OnMissing } from "@qmtl/core/dataflow";
import type { CatalogueEntry, NodeParams } from "@qmtl/core/nodes";
import { BuiltinNode, type BuiltinOptions, builtinOptionKeys } from "./builtin-node.ts";
import { invalid } from "./declaration-error.ts";
import { checkRows } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import type { StrategyNode } from "./strategy-node.ts";

/** What is done about a target that has had no signal for too long. */
export interface StaleSignal {
  /** Buckets in a row without a signal from which on it is stale, 1..10000. */
  readonly after: number;
  /** `hold`: the target stays as it is, and it is reported. `flat`: it is also set to 0 until there is a signal again. */
  readonly then: "hold" | "flat";
}

/** Options that every target takes. */
export interface TargetOptions extends BuiltinOptions {
  /**
   * What happens once it has had no signal for some buckets in a row. It is reported in any case: as a note of a
   * backtest, online by `onProblem` and in `RunStatus.signalStale`. After `flat` a position target begins flat: its
   * signal has to enter again.
   *
   * @default { after: 5, then: "hold" }
   */
  readonly stale?: Partial<StaleSignal> | undefined;
}

/** Keys of {@link TargetOptions}, for the lists of the targets. */
export const targetOptionKeys: OptionKeys<TargetOptions> = { ...builtinOptionKeys, stale: true };

/** A node whose value is the target position of an instrument, a fraction of the strategy's capital. */
export abstract class TargetNode<P = unknown> extends BuiltinNode<P> {
  /** Instrument of the target. */
  abstract readonly instrument: string;
  /** Largest absolute value of the target. */
  abstract readonly largestWeight: number;
  /** When it counts as without a signal, and what is done then. */
  readonly stale: StaleSignal;

  /** @param at name of the node in errors */
  constructor(
    at: string,
    entry: CatalogueEntry<P & { readonly flatAfter?: number | undefined }>,
    signal: StrategyNode,
    kernelParams: P,
    params: NodeParams,
    { name, onMissing, stale: given = {} }: TargetOptions,
  ) {
    const stale = checkStale(`${at}.stale`, given);
    const flat = stale.then === "flat";
    const rule = flat ? { ...kernelParams, flatAfter: stale.after } : kernelParams;
    const content = flat ? { ...params, stale_flat_after: stale.after } : params;
    super(entry, [signal], rule, content, { name, onMissing });
    if (flat && this.onMissing.param !== undefined) {
      throw invalid(
        `${at}.stale.then`,
        '"flat" needs onMissing "skip": a signal that is carried is never stale',
      );
    }
    this.stale = stale;
  }

  /** @returns what the signal must be for the target to change, for messages: `at longEnter 0.6 or above` */
  abstract whatMoves(): string;

  override defaultName(nameOf: (node: StrategyNode) => string): string {
    return `target(${nameOf(this.inputs[0]!.node)},${this.instrument})`;
  }

  /** A target that goes flat is run where there is no signal: it counts those rows. */
  override modeOf(port: string): OnMissing {
    return this.stale.then === "flat" ? "nan" : super.modeOf(port);
  }
}

// biome-ignore lint/suspicious/noThenProperty: the name of the option; what it holds is text
const staleKeys: OptionKeys<StaleSignal> = { after: true, then: true };

function checkStale(field: string, given: Partial<StaleSignal>): StaleSignal {
  checkOptions<Partial<StaleSignal>>(field, given, staleKeys);
  const { after = 5, then = "hold" } = given;
  if (then !== "hold" && then !== "flat") {
    throw invalid(`${field}.then`, `must be hold or flat, not ${String(then)}`);
  }
  return Object.freeze({ after: checkRows(`${field}.after`, after), then });
}
