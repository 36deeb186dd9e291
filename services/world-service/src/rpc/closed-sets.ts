import { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode, ExecutionDomain, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import {
  RuleKind,
  RuleUse,
  RuleVerdict,
  TermName,
} from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { MetricDirection } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import {
  DemotePolicy,
  LeaseLostPolicy,
  NodeStatus,
  WorldClock,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Hold, PositionSide } from "@qmtl/core/gate";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { TracedRule } from "../policy/judge-world.ts";
import type { SeriesDomain, Stage } from "../policy/policy.ts";
import type { DecisionTermRow } from "../store/decision-table.ts";
import type { NodeDomain, NodeState } from "../store/node-table.ts";
import type { WorldSettings } from "../store/world-rows.ts";

/**
 * A closed enum of the contract, with our names for its values. Nothing acts on any other value: from a caller it is
 * refused, from the store it is an error.
 */
class ClosedSet<N extends string, E extends number> {
  readonly #what: string;
  readonly #valueOf: ReadonlyMap<string, E>;
  readonly #nameOf: ReadonlyMap<number, N>;

  constructor(what: string, values: Readonly<Record<N, E>>) {
    const entries = Object.entries(values) as [N, E][];
    this.#what = what;
    this.#valueOf = new Map(entries);
    this.#nameOf = new Map(entries.map(([name, value]) => [value, name]));
  }

  /** The value on the wire. Throws for a text that is not in the set: then the store holds what nobody may write. */
  toProto(name: N): E {
    const value = this.#valueOf.get(name);
    if (value !== undefined) return value;
    throw new Error(`"${name}" is not a ${this.#what}`);
  }

  /** Our name for a value. @throws {QmtlError} INVALID_FIELD, naming `field`, for UNSPECIFIED and unknown values. */
  fromProto(value: E, field: string): N {
    const name = this.#nameOf.get(value);
    if (name !== undefined) return name;
    const description = `must be a ${this.#what}: ${[...this.#valueOf.keys()].join(", ")}`;
    throw new QmtlError("INVALID_FIELD", `${field} ${description}`, {
      fields: [{ field, description }],
    });
  }
}

export const clocks = new ClosedSet<WorldSettings["clock"], WorldClock>("clock", {
  wall: WorldClock.WALL,
  replay: WorldClock.REPLAY,
});

export const demotePolicies = new ClosedSet<WorldSettings["onDemote"], DemotePolicy>(
  "policy for demoted strategies",
  { flat: DemotePolicy.FLAT, keep: DemotePolicy.KEEP },
);

export const leaseLostPolicies = new ClosedSet<WorldSettings["onLeaseLost"], LeaseLostPolicy>(
  "policy for lost leases",
  {
    cancel_opening: LeaseLostPolicy.CANCEL_OPENING,
    hold: LeaseLostPolicy.HOLD,
    flatten: LeaseLostPolicy.FLATTEN,
  },
);

export const nodeStates = new ClosedSet<NodeState, NodeStatus>("status", {
  unknown: NodeStatus.UNKNOWN,
  validating: NodeStatus.VALIDATING,
  valid: NodeStatus.VALID,
  invalid: NodeStatus.INVALID,
  running: NodeStatus.RUNNING,
  paused: NodeStatus.PAUSED,
  stopped: NodeStatus.STOPPED,
  archived: NodeStatus.ARCHIVED,
});

export const nodeDomains = new ClosedSet<NodeDomain, ExecutionDomain>("domain", {
  backtest: ExecutionDomain.BACKTEST,
  dryrun: ExecutionDomain.DRYRUN,
  live: ExecutionDomain.LIVE,
});

export const seriesDomains = new ClosedSet<SeriesDomain, ExecutionDomain>("domain", {
  backtest: ExecutionDomain.BACKTEST,
  dryrun: ExecutionDomain.DRYRUN,
  live: ExecutionDomain.LIVE,
});

export const stages = new ClosedSet<Stage, EffectiveMode>("stage", {
  validate: EffectiveMode.VALIDATE,
  "compute-only": EffectiveMode.COMPUTE_ONLY,
  paper: EffectiveMode.PAPER,
  live: EffectiveMode.LIVE,
});

export const sides = new ClosedSet<PositionSide, Side>("side", {
  long: Side.LONG,
  short: Side.SHORT,
});

export const holds = new ClosedSet<Hold, HoldKind>("hold", {
  rollback: HoldKind.ROLLBACK,
  manual: HoldKind.MANUAL,
  breaker: HoldKind.BREAKER,
});

/** Terms that a strategy's mode is made of; `nothing_selected` is a term of a world and appears in its reason only. */
export const termNames = new ClosedSet<
  Exclude<DecisionTermRow["name"], "nothing_selected">,
  TermName
>("term", {
  world_stage: TermName.WORLD_STAGE,
  strategy_stage: TermName.STRATEGY_STAGE,
  data_currency: TermName.DATA_CURRENCY,
  samples: TermName.SAMPLES,
  allow_live: TermName.ALLOW_LIVE,
  breaker: TermName.BREAKER,
});

/** Kinds of rules. On the wire a rule on the number of samples, or on what is left, is one with a lower bound. */
export const ruleKinds = new ClosedSet<TracedRule["kind"], RuleKind>("kind of rule", {
  samples: RuleKind.MIN,
  ruin: RuleKind.MIN,
  min: RuleKind.MIN,
  max: RuleKind.MAX,
  enter: RuleKind.ENTER,
  exit: RuleKind.EXIT,
  top_k: RuleKind.TOP_K,
  correlation: RuleKind.CORRELATION,
});

export const ruleVerdicts = new ClosedSet<TracedRule["verdict"], RuleVerdict>("verdict", {
  pass: RuleVerdict.PASS,
  fail: RuleVerdict.FAIL,
  not_yet_judged: RuleVerdict.NOT_YET_JUDGED,
});

export const ruleUses = new ClosedSet<TracedRule["use"], RuleUse>("use of a rule", {
  enter: RuleUse.ENTER,
  stay: RuleUse.STAY,
});

export const metricDirections = new ClosedSet<
  "higher_is_better" | "lower_is_better",
  MetricDirection
>("direction", {
  higher_is_better: MetricDirection.HIGHER,
  lower_is_better: MetricDirection.LOWER,
});
