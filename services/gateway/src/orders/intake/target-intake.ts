import { hasReason } from "@qmtl/sdk/rpc";
import type { Logger, SessionScope } from "@qmtl/service-kit";
import type { BarrierEnds } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { BucketAcks } from "./bucket-acks.ts";
import { DeclaredWeights, type SubmittedStrategies } from "./declared-weights.ts";
import type { FeedRows } from "./feed-rows.ts";
import { checkKnownRow } from "./known-row.ts";
import type { TargetVerdict } from "./take-targets.ts";
import type { EndedRow, TargetsCall } from "./targets-call.ts";
import { TargetsIntake } from "./targets-intake.ts";
import { checkTicketCovers } from "./ticket-scope.ts";

export interface TargetIntakePorts {
  readonly worlds: WorldRegistry;
  readonly feeds: FeedRows;
  readonly ends: BucketAcks;
  readonly barrier: BarrierEnds;
  readonly logger: Logger;
  readonly strategies: Pick<SubmittedStrategies, "weightBounds">;
  readonly accounts: AccountRegistry;
}

/** What became of a call's targets, in their order, and the last row booked of each feed that it ended a row of. */
export interface TakenTargets {
  readonly verdicts: readonly TargetVerdict[];
  readonly booked: readonly EndedRow[];
}

/** SetTargets: a runner's targets, and its end of a bucket, which counts whatever becomes of them. */
export class TargetIntake {
  readonly #ports: TargetIntakePorts;
  readonly #unbookedTold = new Set<string>();
  readonly #intakes = new Map<AccountRouter, TargetsIntake>();
  readonly #declared: DeclaredWeights;

  constructor(ports: TargetIntakePorts) {
    this.#ports = ports;
    this.#declared = new DeclaredWeights(ports.strategies);
  }

  /**
   * Takes targets and ends rows. Resolves when everything in the call is booked or refused. Waits until the bars of every
   * row that ends are booked, so that a target never meets an older book; not longer than `waitMs`.
   */
  async set(call: TargetsCall, session: SessionScope, waitMs: number): Promise<TakenTargets> {
    const { barrier, feeds } = this.#ports;
    const strategies = [...call.strategies, ...call.targets.map((one) => one.strategy)];
    checkTicketCovers(session, call.targets.length > 0 ? "trade" : "compute", strategies);
    const checks = call.ends.map((end, at) => {
      const field = `update.ends[${at}]`;
      return checkKnownRow(barrier, end, { source: `${field}.source`, row: `${field}.row` });
    });
    await Promise.all(checks);
    const verdicts = await this.#take(call, waitMs).catch((failure: unknown) => {
      // A world without an account here takes no target; its buckets end all the same.
      if (!hasReason(failure, "ACCOUNT_NOT_FOUND")) throw failure;
      return call.targets.map(() => refused(failure.reason));
    });
    const { world: worldId, isArmed, ends } = call;
    const { sessionId } = session;
    for (const { source, row } of ends) barrier.ended(source, { sessionId, worldId, row, isArmed });
    const booked = ends.map(({ source }) => ({ source, row: feeds.bookedRow(source) }));
    return { verdicts, booked };
  }

  async #take(call: TargetsCall, waitMs: number): Promise<readonly TargetVerdict[]> {
    const { worlds, feeds, ends, accounts } = this.#ports;
    const world = await worlds.open(call.world);
    const router = accounts.of(world.accountId);
    const { claim, targets } = call;
    // Rows that are never booked are not waited for: that would end in a refusal that explains nothing.
    if (this.#isUnbooked(call)) return targets.map(() => refused("CONFIG_INVALID"));
    await Promise.all(call.ends.map(({ source, row }) => feeds.settled(source, row, waitMs)));
    if (targets.length > 0 && call.isArmed) await worlds.ready(call.world, claim, targets);
    const bounds = await this.#declared.of(claim.sessionId, call.world, targets);
    const verdicts = await this.#intakeOf(router).take(() => ({
      world,
      claim,
      targets,
      bounds,
      alongside: ends.plan({ ...call, sessionId: claim.sessionId }),
    }));
    this.#restate(call, router);
    return verdicts;
  }

  /** True when rows of a feed of the call can never be booked; what to set is logged, once a feed. */
  #isUnbooked({ ends }: TargetsCall): boolean {
    const { feeds, barrier, logger } = this.#ports;
    const reasons = ends.flatMap(({ source }) => {
      const reason = feeds.isMarked(source) ? barrier.whyUnbooked(source) : undefined;
      return reason === undefined ? [] : [{ source, reason }];
    });
    for (const { source, reason } of reasons) {
      if (!this.#unbookedTold.has(source)) logger.warn("rows cannot be booked", { source, reason });
      this.#unbookedTold.add(source);
    }
    return reasons.length > 0;
  }

  #intakeOf(router: AccountRouter): TargetsIntake {
    let intake = this.#intakes.get(router);
    if (intake === undefined) {
      intake = new TargetsIntake(router);
      this.#intakes.set(router, intake);
    }
    return intake;
  }

  #restate(call: TargetsCall, router: AccountRouter): void {
    const { worlds, ends } = this.#ports;
    const gate = worlds.gates.get(call.world);
    for (const { source, row } of call.ends) {
      const edge = router.market.edge(source);
      if (edge === undefined || row > edge.row) continue;
      for (const strategy of call.strategies) {
        ends.heard(call.world, strategy, edge.bucket);
        if (gate?.emitterOf(strategy) === call.claim.sessionId) {
          ends.restated(call.world, strategy, edge.bucket);
        }
      }
    }
  }
}

const refused = (reason: string): TargetVerdict => ({ accepted: false, reason, orders: [] });
