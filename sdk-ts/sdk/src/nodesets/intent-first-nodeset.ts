import { invalid } from "../strategy/declaration-error.ts";
import { checkName } from "../strategy/fields.ts";
import {
  type NodeSet,
  PositionTargetNode,
  type PositionThresholds,
  type StaleSignal,
  type StrategyNode,
} from "../strategy/index.ts";
import { checkOptions, type OptionKeys } from "../strategy/option-keys.ts";
import {
  costKeys,
  executionKeys,
  type NodesetExecution,
  setExecution,
} from "./nodeset-execution.ts";
import { intentFirstSteps, type NodesetStep } from "./nodeset-steps.ts";

/** Bounds for a signal in −1…1, used when none are given: enter at ±0.6 and beyond, leave within ±0.2. */
export const INTENT_FIRST_DEFAULT_THRESHOLDS = Object.freeze({
  longEnter: 0.6,
  shortEnter: -0.6,
  longExit: 0.2,
  shortExit: -0.2,
}) satisfies PositionThresholds;

/** Declaration of an intent-first set. */
export interface IntentFirstOptions {
  /** Node with one column, from which the target is made. */
  readonly signal: StrategyNode;
  /** What is traded; an entry of `instruments:`. */
  readonly instrument: string;
  /** World for which the set is made; shown by `describe()`, never part of a node id. */
  readonly worldId?: string | undefined;
  /**
   * Node with the price of the instrument; computed along with the set. Orders are sized at the close of the
   * instrument's `mark_source`, so this should be that close.
   */
  readonly priceNode?: StrategyNode | undefined;
  /** @default {@link INTENT_FIRST_DEFAULT_THRESHOLDS} */
  readonly thresholds?: PositionThresholds | undefined;
  /** Target while long, a fraction of the strategy's capital. @default 1 */
  readonly longWeight?: number | undefined;
  /** Target while short, a fraction of the strategy's capital. @default -1 */
  readonly shortWeight?: number | undefined;
  /** What happens once the target has had no signal for some buckets. @default { after: 5, then: "hold" } */
  readonly stale?: Partial<StaleSignal> | undefined;
  /** Initial cash of an offline run, above 0, in the account's currency. @default the account's */
  readonly initialCash?: number | undefined;
  /** Costs and fill rule of an offline run. @default the account's costs, fills at the next open */
  readonly executionModel?: Omit<NodesetExecution, "initialCash"> | undefined;
  /** Name of the target node. @default derived from the signal's name */
  readonly name?: string | undefined;
}

/** Keys of {@link IntentFirstOptions}. */
export const intentFirstKeys: OptionKeys<IntentFirstOptions> = {
  signal: true,
  instrument: true,
  worldId: true,
  priceNode: true,
  thresholds: true,
  longWeight: true,
  shortWeight: true,
  stale: true,
  initialCash: true,
  executionModel: true,
  name: true,
};

/** Description of a set. */
export interface NodesetDescription {
  /** Kind of set: `intent_first`. */
  readonly name: string;
  /** World it was made for, if one was given. */
  readonly worldId: string | undefined;
  /** What is traded. */
  readonly instrument: string;
  /** Name of the target node that the steps follow. */
  readonly target: string;
  /** Steps after the target, in order. */
  readonly steps: readonly NodesetStep[];
}

/** A signal, a target and the steps that turn the target into orders. */
export interface IntentFirstNodeset extends NodeSet {
  /** First node: the signal. */
  readonly head: StrategyNode;
  /** Last node: the target. The steps after it are not nodes: the order router does them. */
  readonly tail: PositionTargetNode;
  /** @returns what the set is and does, for people */
  describe(): NodesetDescription;
  /** @returns the modes in which the set can run, and whose portfolio its last step keeps */
  capabilities(): { readonly modes: readonly string[]; readonly portfolioScope: "strategy" };
}

/**
 * The standard way from a signal to orders: target → pre-trade → sizing → execution → publish → portfolio.
 *
 * The strategy only says what it wants to hold; sizing, checks and orders are done by the order router, offline and
 * online alike. The steps for risk and timing pass everything through.
 *
 * @param options signal, instrument and how the target is made from the signal
 * @returns the set, for `addNodeset`
 * @throws {DeclarationError} naming the field.
 */
export function makeIntentFirstNodeset(options: IntentFirstOptions): IntentFirstNodeset {
  const at = "makeIntentFirstNodeset";
  checkOptions(at, options, intentFirstKeys);
  const { signal, instrument, worldId, priceNode, initialCash, executionModel = {} } = options;
  checkOptions(`${at}.executionModel`, executionModel, executionKeys);
  const { costs } = executionModel;
  if (costs !== undefined) checkOptions(`${at}.executionModel.costs`, costs, costKeys);
  if (initialCash !== undefined && !(initialCash > 0 && Number.isFinite(initialCash))) {
    throw invalid(`${at}.initialCash`, `must be above 0, not ${initialCash}`);
  }
  if (worldId !== undefined) checkName(`${at}.worldId`, worldId);
  const { longWeight, shortWeight, name, stale } = options;
  const target = new PositionTargetNode({
    signal,
    instrument,
    thresholds: options.thresholds ?? INTENT_FIRST_DEFAULT_THRESHOLDS,
    ...(longWeight === undefined ? {} : { longWeight }),
    ...(shortWeight === undefined ? {} : { shortWeight }),
    ...(name === undefined ? {} : { name }),
    stale,
  });
  const cash = initialCash === undefined ? {} : { initialCash };
  setExecution(target, { ...executionModel, ...cash });
  return {
    nodes: priceNode === undefined ? [target] : [priceNode, target],
    head: signal,
    tail: target,
    describe: () => ({
      name: "intent_first",
      worldId,
      instrument,
      target: target.givenName ?? "target",
      steps: intentFirstSteps(executionDetail(executionModel)),
    }),
    capabilities: () => ({ modes: ["simulate", "paper"], portfolioScope: "strategy" }),
  };
}

function executionDetail({ noCosts, costs, sameBarClose }: NodesetExecution): string {
  const fills = sameBarClose
    ? "market orders fill at the close they were decided on"
    : "market orders fill at the next open";
  if (noCosts === true) return `${fills}, no costs`;
  if (costs === undefined) return `${fills}, costs of the account`;
  return `${fills}, ${costs.feeBps} bp fee and ${costs.halfSpreadBps} bp half spread`;
}
