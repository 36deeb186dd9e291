import type { OnMissing } from "@qmtl/core/dataflow";
import {
  type CatalogueEntry,
  type NodeParams,
  type RebalancedTargetParams,
  rebalancedTarget,
} from "@qmtl/core/nodes";
import { BuiltinNode, type BuiltinOptions, builtinOptionKeys } from "./builtin-node.ts";
import { invalid } from "./declaration-error.ts";
import { checkName, checkRows } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { type CheckedRebalance, checkRebalance, type Rebalance } from "./rebalance.ts";
import type { StrategyNode } from "./strategy-node.ts";

/** What is done about a target that has had no signal for too long. */
export interface StaleSignal {
  /**
   * Buckets in a row without a signal from which on it is stale, 1..10000. After the feed that brings its buckets has
   * ended, the intervals of that feed since its last bar count in their place.
   */
  readonly after: number;
  /** `hold`: the target stays as it is, and it is reported. `flat`: it is also set to 0 until there is a signal again. */
  readonly then: "hold" | "flat";
}

/** What a target may be, as fractions of the capital; signals beyond are held there. */
export interface WeightBounds {
  readonly min: number;
  readonly max: number;
}

/** Options that every target takes. */
export interface TargetOptions extends BuiltinOptions {
  /** Node of one column from which the target is made. */
  readonly signal: StrategyNode;
  /** Instrument of the target: an entry of `instruments:` in the configuration. */
  readonly instrument: string;
  /** When the weight is sized again while it stands. @default when the target changes, and only then */
  readonly rebalance?: Rebalance | undefined;
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
export const targetOptionKeys: OptionKeys<TargetOptions> = {
  ...builtinOptionKeys,
  signal: true,
  instrument: true,
  rebalance: true,
  stale: true,
};

/** Parameters of a target's kernel, with or without those that its options add. */
type TargetParams<P> = P | RebalancedTargetParams<P>;

/** A node whose value is the target position of an instrument, a fraction of the strategy's capital. */
export abstract class TargetNode<P = unknown> extends BuiltinNode<TargetParams<P>> {
  /** Instrument of the target. */
  readonly instrument: string;
  /** Largest absolute value of the target. */
  abstract readonly largestWeight: number;
  /** Bounds at which its signal is held; undefined: its values are not those of the signal. */
  readonly bounds: WeightBounds | undefined = undefined;
  /** When it counts as without a signal, and what is done then. */
  readonly stale: StaleSignal;
  /** The target is sized again when its held weight strays by more than this; 0: never. */
  readonly drift: number;
  /** Index of the output with the row at which the target was last to be sized; −1: it has none. */
  readonly sizedRowOutput: number;

  /**
   * @param at name of the node in errors
   * @param entry entry of the catalogue that computes it without options
   * @param kernelParams parameters of that entry
   * @param params those that are part of its node id, without those of the options
   * @param options signal, instrument and what every target may have
   * @throws {DeclarationError} naming the field.
   */
  protected constructor(
    at: string,
    entry: CatalogueEntry<P & { readonly flatAfter?: number | undefined }>,
    kernelParams: P,
    params: NodeParams,
    options: TargetOptions,
  ) {
    const { signal, instrument, name, onMissing, stale: given = {} } = options;
    if (instrument === undefined) {
      throw invalid(`${at}.instrument`, 'is needed: an entry of "instruments:" in qmtl.yml');
    }
    checkName(`${at}.instrument`, instrument);
    const rebalance =
      options.rebalance === undefined ? NONE : checkRebalance(`${at}.rebalance`, options.rebalance);
    const stale = checkStale(`${at}.stale`, given);
    const { period: every, series, drift } = rebalance;
    const isFlat = stale.then === "flat";
    const rule = isFlat ? { ...kernelParams, flatAfter: stale.after } : kernelParams;
    const isRebalanced = every !== undefined || series !== undefined;
    super(
      isRebalanced ? rebalancedTarget(entry, series !== undefined) : entry,
      series === undefined ? [signal] : [signal, series],
      isRebalanced ? { target: kernelParams, every, flatAfter: isFlat ? stale.after : 0 } : rule,
      {
        ...params,
        ...rebalanceParams(rebalance),
        ...(isFlat ? { stale_flat_after: stale.after } : {}),
      },
      { name, onMissing },
    );
    if (isFlat && this.onMissing.param !== undefined) {
      throw invalid(
        `${at}.stale.then`,
        '"flat" needs onMissing "skip": a signal that is carried is never stale',
      );
    }
    this.instrument = instrument;
    this.stale = stale;
    this.drift = drift;
    this.sizedRowOutput = this.outputs.indexOf("sized_row");
  }

  /** @throws {DeclarationError} for a drift as large as all that the target may hold. */
  protected checkDrift(at: string): void {
    const most = Math.max(1, this.largestWeight);
    if (this.drift < most) return;
    const what = most === this.largestWeight ? ", the largest weight of the target" : "";
    const why = `must be below ${most}${what}, not ${this.drift}: it is a fraction, 0.05 for five points`;
    throw invalid(`${at}.rebalance.drift`, why);
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

const NONE: CheckedRebalance = { period: undefined, series: undefined, drift: 0, params: {} };

/** A target without options has no params of theirs, so that its id is what it was before there were any. */
function rebalanceParams({ params: rebalance }: CheckedRebalance): NodeParams {
  return Object.keys(rebalance).length === 0 ? {} : { rebalance };
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
