import { hasReason } from "@qmtl/sdk/rpc";
import type { Logger, SessionScope } from "@qmtl/service-kit";
import type { BarrierEnds, EndedRow, SliceCall } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import type { StatedClaim } from "../account/world-gate.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { BucketAcks } from "./bucket-acks.ts";
import { DeclaredWeights, type SubmittedStrategies } from "./declared-weights.ts";
import type { FeedRows } from "./feed-rows.ts";
import { checkKnownRow, checkTargetRows } from "./known-row.ts";
import type { SignalGap, SignalGaps } from "./signal-gaps.ts";
import type { StatedTarget, TargetsTurn, TargetVerdict } from "./take-targets.ts";
import { type TakenCall, TargetBatches, takeTogether } from "./target-batches.ts";
import { checkTicketCovers } from "./ticket-scope.ts";

/** A SetTargets call. */
export interface TargetsCall {
  readonly world: string;
  readonly claim: StatedClaim;
  readonly targets: readonly StatedTarget[];
  /** Rows that end with the call; empty for none. */
  readonly ends: readonly EndedRow[];
  readonly wanted: number;
  /** What of them is each strategy's, of a runner with several. */
  readonly wantedBy: Readonly<Record<string, number>>;
  readonly strategies: readonly string[];
  readonly evaluations: Readonly<Record<string, number>>;
  /** Targets of `strategies` that have had no signal for long. */
  readonly signalGaps: readonly SignalGap[];
}

interface TargetIntakePorts {
  readonly worlds: WorldRegistry;
  readonly feeds: FeedRows;
  readonly acks: BucketAcks;
  readonly signals: Pick<SignalGaps, "stated">;
  readonly barrier: BarrierEnds;
  readonly logger: Logger;
  readonly strategies: Pick<SubmittedStrategies, "weightBounds">;
  readonly accounts: AccountRegistry;
}

/** Outcome of a call's targets, in their order, and the last row booked of each feed that it ended a row of. */
export interface TakenTargets {
  readonly verdicts: readonly TargetVerdict[];
  readonly booked: readonly EndedRow[];
}

/**
 * Refusals of a gate that is behind another one; a runner states such targets again (`TargetResend`). Not that of a gate
 * without a lease, nor of one that an order written too late keeps shut: that may last, and meanwhile feeds go on
 * without orders.
 */
const refusedForNow: ReadonlySet<string> = new Set([
  "GATE_SHUT",
  "FENCE_STALE",
  "NOT_EMITTER",
  "NOT_ACTIVE",
  "DOMAIN_MISMATCH",
]);

/** A SetTargets call that is to be taken, alone or with the others of its slice, and the verdicts once it is. */
class EndingCall implements SliceCall {
  readonly call: TargetsCall;
  readonly sessionId: string;
  verdicts: readonly TargetVerdict[] = [];
  /** Why it was refused, though the others of its slice were taken; undefined if it was not. */
  refusal: Error | undefined;
  /** Its gate stays shut until an operator opens it. */
  isShut = false;

  constructor(call: TargetsCall, sessionId: string) {
    this.call = call;
    this.sessionId = sessionId;
  }

  get worldId(): string {
    return this.call.world;
  }

  get strategies(): readonly string[] {
    return this.call.strategies;
  }

  get ends(): readonly EndedRow[] {
    return this.call.ends;
  }

  get isArmed(): boolean {
    return this.call.claim.lease === "own";
  }

  get fence(): number {
    return this.call.claim.fence;
  }

  get isRefusedForNow(): boolean {
    if (!this.isArmed || this.isShut) return false;
    return this.verdicts.some(({ accepted, reason }) => !accepted && refusedForNow.has(reason));
  }

  refuse(reason: string): void {
    this.verdicts = this.call.targets.map(() => refused(reason));
  }

  answerAs(taken: SliceCall): boolean {
    if (!(taken instanceof EndingCall) || statedIn(taken) !== statedIn(this)) return false;
    this.verdicts = taken.verdicts;
    this.refusal = taken.refusal;
    return true;
  }
}

/** What a call states, as text: the same for a call that is sent again. */
function statedIn({ call: { ends, targets, claim } }: EndingCall): string {
  return JSON.stringify([ends, targets, claim]);
}

/** SetTargets: a runner's targets, and its ends of rows, which count whatever becomes of the targets. */
export class TargetIntake {
  readonly #ports: TargetIntakePorts;
  readonly #unbookedTold = new Set<string>();
  readonly #intakes = new Map<AccountRouter, TargetBatches>();
  readonly #declared: DeclaredWeights;

  constructor(ports: TargetIntakePorts) {
    this.#ports = ports;
    this.#declared = new DeclaredWeights(ports.strategies);
  }

  /**
   * Takes targets and ends rows. Resolves when everything in the call is booked or refused. A call that ends rows of
   * replay feeds is held until its slice has ended, `waitMs` at most, and is taken with the others of the slice.
   */
  async set(call: TargetsCall, session: SessionScope, waitMs: number): Promise<TakenTargets> {
    const { barrier, feeds } = this.#ports;
    const stated = call.targets.map((one) => one.strategy);
    const silent = call.signalGaps.map((gap) => gap.strategy);
    const strategies = [...call.strategies, ...stated, ...Object.keys(call.wantedBy), ...silent];
    checkTicketCovers(session, call.targets.length > 0 ? "trade" : "compute", strategies);
    const checks = call.ends.map((end, at) => {
      const field = `update.ends[${at}]`;
      return checkKnownRow(barrier, end, { source: `${field}.source`, row: `${field}.row` });
    });
    await Promise.all(checks);
    if (call.targets.length > 0) await this.#checkRows(call);
    this.#ports.signals.stated(session, call.strategies, call.signalGaps);
    const ending = new EndingCall(call, session.sessionId);
    if (call.ends.some(({ source }) => barrier.isReplayed(source)))
      await barrier.end(ending, waitMs);
    else await this.#takeAlone(ending, waitMs);
    if (ending.refusal !== undefined) throw ending.refusal;
    const booked = call.ends.map(({ source }) => ({ source, row: feeds.bookedRow(source) }));
    return { verdicts: ending.verdicts, booked };
  }

  /** See `SliceBookings.takeSlice`. */
  async takeSlice(calls: readonly SliceCall[], goesOn: boolean): Promise<void> {
    const { feeds } = this.#ports;
    const own = calls.filter((call) => call instanceof EndingCall);
    const rows = new Map(
      own
        .filter(({ call }) => !this.#isUnbooked(call))
        .flatMap(({ ends }) => ends.map((end) => [`${end.row} ${end.source}`, end])),
    );
    const longMs = Number.POSITIVE_INFINITY;
    await Promise.all(
      [...rows.values()].map(({ source, row }) =>
        goesOn ? feeds.untilBooked(source, row, longMs) : feeds.untilReported(source, row, longMs),
      ),
    );
    const readied = await Promise.all(own.map((ending) => this.#ready(ending)));
    const ready = readied.filter((one) => one !== undefined);
    for (const router of new Set(ready.map((one) => one.router))) {
      const together = ready.filter((one) => one.router === router);
      const taken = await takeTogether(
        router,
        together.map(({ turn }) => turn),
      );
      for (const [at, { ending }] of together.entries()) this.#taken(ending, router, taken[at]!);
    }
  }

  /** @throws {QmtlError} INVALID_FIELD for a target of a row that is in no log of its world's feeds. */
  async #checkRows({ world, ends, targets }: TargetsCall): Promise<void> {
    const { worlds, barrier } = this.#ports;
    try {
      const { source } = await worlds.open(world);
      await checkTargetRows(barrier, [source, ...ends.map((end) => end.source)], targets);
    } catch (failure) {
      // The targets of a world without an account here are refused one by one.
      if (!hasReason(failure, "ACCOUNT_NOT_FOUND")) throw failure;
    }
  }

  /** Takes a call that ends no row of a replay feed. */
  async #takeAlone(ending: EndingCall, waitMs: number): Promise<void> {
    const { feeds } = this.#ports;
    const { call } = ending;
    if (!this.#isUnbooked(call))
      await Promise.all(
        call.ends.map(({ source, row }) => feeds.untilReported(source, row, waitMs)),
      );
    const ready = await this.#ready(ending);
    if (ready === undefined) return;
    const { router, turn } = ready;
    this.#taken(ending, router, await this.#intakeOf(router).take(turn));
  }

  /** What it takes to book a call; undefined, with its verdicts, when that cannot be. */
  async #ready(ending: EndingCall): Promise<ReadyCall | undefined> {
    const { worlds, acks, accounts, barrier } = this.#ports;
    const { call } = ending;
    const { claim, targets } = call;
    // Rows that are never booked are not waited for: that would end in a refusal that explains nothing.
    if (this.#isUnbooked(call)) {
      ending.refuse("CONFIG_INVALID");
      return undefined;
    }
    try {
      const world = await worlds.open(call.world);
      const router = accounts.of(world.accountId);
      if (targets.length > 0 && claim.lease === "own")
        await worlds.ready(call.world, claim, targets);
      const bounds = await this.#declared.of(claim.sessionId, call.world, targets);
      const turn = () => {
        const alongside = acks.plan({ ...call, sessionId: claim.sessionId });
        const closedMs = Math.max(
          ...[
            world.source,
            ...router.market.sources(),
            ...call.ends.map(({ source }) => source),
          ].map((source) => barrier.closedMs(source)),
        );
        return { world, claim, targets, bounds, closedMs, alongside };
      };
      return { ending, router, turn };
    } catch (failure) {
      // Only its own call is of a world that is gone: the others of the slice are taken.
      if (hasReason(failure, "WORLD_NOT_FOUND")) ending.refusal = failure;
      // A world without an account here takes no target; its buckets end all the same.
      else if (hasReason(failure, "ACCOUNT_NOT_FOUND")) ending.refuse(failure.reason);
      else throw failure;
      return undefined;
    }
  }

  #taken(ending: EndingCall, router: AccountRouter, taken: TakenCall): void {
    ending.verdicts = taken.verdicts ?? [];
    ending.refusal = taken.refusal;
    ending.isShut = this.#ports.worlds.gateOf(ending.worldId)?.isShutByLateOrder === true;
    this.#restate(ending.call, router);
  }

  /** True when rows of a feed of the call can never be booked; what to set is logged, once per feed. */
  #isUnbooked({ ends }: TargetsCall): boolean {
    const { feeds, barrier, logger } = this.#ports;
    const reasons = ends.flatMap(({ source }) => {
      const reason = feeds.isUsed(source) ? barrier.whyUnbooked(source) : undefined;
      return reason === undefined ? [] : [{ source, reason }];
    });
    for (const { source, reason } of reasons) {
      if (!this.#unbookedTold.has(source)) logger.warn("rows cannot be booked", { source, reason });
      this.#unbookedTold.add(source);
    }
    return reasons.length > 0;
  }

  #intakeOf(router: AccountRouter): TargetBatches {
    let intake = this.#intakes.get(router);
    if (intake === undefined) {
      intake = new TargetBatches(router);
      this.#intakes.set(router, intake);
    }
    return intake;
  }

  #restate(call: TargetsCall, router: AccountRouter): void {
    const { worlds, acks } = this.#ports;
    const gate = worlds.gates.get(call.world);
    // A gate that a late order shut has no lease; its strategies' targets are kept all the same.
    const emitterOf = (strategy: string) =>
      gate?.isShutByLateOrder === true ? gate.lastEmitterOf(strategy) : gate?.emitterOf(strategy);
    for (const { source, row } of call.ends) {
      const edge = router.market.lastRow(source);
      if (edge === undefined || row > edge.row) continue;
      for (const strategy of call.strategies) {
        acks.heard(call.world, strategy, edge.bucket);
        if (emitterOf(strategy) === call.claim.sessionId) {
          acks.restated(call.world, strategy, edge.bucket);
        }
      }
    }
  }
}

const refused = (reason: string): TargetVerdict => ({ accepted: false, reason, orders: [] });

/** A call that can be booked now. */
interface ReadyCall {
  readonly ending: EndingCall;
  readonly router: AccountRouter;
  readonly turn: () => TargetsTurn;
}
