import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { openWire } from "./open-wire.ts";

/** Why a test changes something. */
export const reason = "the test";

/** A policy every strategy of `goodSeries` passes. */
export const document = "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}";

/** Returns of a backtest that may go to compute-only. */
export const goodSeries = {
  interval: durationFromMs(86_400_000),
  periodsPerYear: 252,
  domain: ExecutionDomain.BACKTEST,
  returns: Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 0.02 : -0.01)),
};

/** Worlds behind a real gRPC server, called as an owner unless a role is stated. */
export class WireWorlds implements AsyncDisposable {
  readonly wire: Awaited<ReturnType<typeof openWire>>;
  #made = 0;

  constructor(wire: Awaited<ReturnType<typeof openWire>>) {
    this.wire = wire;
  }

  static async open(): Promise<WireWorlds> {
    return new WireWorlds(await openWire());
  }

  worlds(role: "owner" | "operator" = "owner") {
    return this.wire.as(role).client(WorldService);
  }

  get policies() {
    return this.wire.as("owner").client(PolicyService);
  }

  get decisions() {
    return this.wire.as("owner").client(DecisionService);
  }

  get activations() {
    return this.wire.as("owner").client(ActivationService);
  }

  get rebalancing() {
    return this.wire.as("owner").client(RebalancingService);
  }

  /** A world by the wall clock, with the named strategies and no policy. */
  async make(...strategyIds: string[]): Promise<string> {
    this.#made += 1;
    const worldId = `w${this.#made}`;
    const world = { worldId, clock: WorldClock.WALL, accountId: `acc-${worldId}` };
    await this.worlds().createWorld({ world, requestId: worldId });
    const strategies = strategyIds.map((strategyId) => ({ strategyId, strategyName: strategyId }));
    if (strategies.length > 0) await this.worlds().createBindings({ worldId, strategies });
    return worldId;
  }

  /** A world with one strategy, `a`, that has been active in compute-only since run `r`. */
  async makeActive(): Promise<string> {
    const worldId = await this.make("a");
    await this.policies.createPolicy({ worldId, document, requestId: "p" });
    const returns = [{ strategyId: "a", series: goodSeries }];
    await this.decisions.reportReturns({ worldId, returns });
    const targetMode = EffectiveMode.COMPUTE_ONLY;
    await drained(this.activations.apply({ worldId, runId: "r", targetMode, reason }));
    return worldId;
  }

  /** Types of a world's audit entries, oldest first. */
  async auditTypes(worldId: string): Promise<string[]> {
    const { entries } = await this.worlds().listAuditEntries({ worldId, pageSize: 1_000 });
    return entries.map(({ type }) => type);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.wire[Symbol.asyncDispose]();
  }
}

/** A refusal as a program sees it. */
export interface Refusal {
  readonly reason: string;
  readonly fields: readonly string[];
}

/** How a call is refused; throws when it is not. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (failure) {
    if (!(failure instanceof QmtlError)) throw failure;
    return { reason: failure.reason, fields: failure.fields.map(({ field }) => field) };
  }
  throw new Error("the call was not refused");
}

export const reasonOf = async (call: Promise<unknown>): Promise<string> =>
  (await refusalOf(call)).reason;

/** Reads a stream to its end. */
export async function drained(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}
