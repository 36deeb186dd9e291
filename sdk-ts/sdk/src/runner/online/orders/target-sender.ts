import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Taken } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import type { TargetUpdateSchema } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import {
  type ControlSession,
  domainToProto,
  type OrderGate,
  type OrderSubject,
  pause,
  type SdkClock,
  type SenderClaim,
} from "../../../control/index.ts";
import { reasonName } from "../../../rpc/reason-code.ts";
import type { ComputedBucket, FeedEnd } from "../compute/clocks.ts";
import type { SliceTaker, StrategySlice } from "../compute/swap.ts";
import type { RunnerLink } from "../log/runner-link.ts";
import type { Evaluations } from "../session/online-run.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { HostedStrategy } from "./hosted-strategy.ts";
import { type StatedTargets, sidesOf } from "./target-book.ts";
import { TargetResend } from "./target-resend.ts";

interface TargetSenderOptions {
  readonly link: Pick<RunnerLink, "end">;
  readonly clock: SdkClock;
  readonly gate: OrderGate;
  /** The strategies of the session. Those that were taken out send nothing. */
  readonly strategies: readonly HostedStrategy[];
  readonly session: Pick<ControlSession, "follow">;
  /** Counters of the process, which go to the gateway with each call. */
  readonly evaluations: Evaluations;
  readonly reports: RunReports;
  readonly listener: SliceListener;
}

/** Notified of the slices whose targets are sent. Implemented by `RunParts`. */
export interface SliceListener {
  /** Called for each strategy before the slice is sent; `strategy.targets` has its values. */
  targetsFixed(strategy: HostedStrategy, bucket: ComputedBucket, isGateShut: boolean): void;
  /** Every row of the slice is answered. */
  sliceEnded(slice: StrategySlice): void;
}

/** Largest number of slices that may wait for their end to be answered. */
const waitingSlicesMax = 64;
const againMs = 100;
const againMsMax = 2_000;

/**
 * Decides the targets of all strategies at each moment and reports its end to the gateway, with one statement for all
 * strategies and for all feeds whose rows end there. It is repeated until it is taken; then the rows are ended. A target
 * is sent if it changed or was not taken under the lease in force.
 *
 * A barrier lets no row pass before the one before was ended, unless nothing may order, or this session was dropped: of
 * several slices that wait, no target but the last one's could be taken. They are decided on in order, and end with one
 * statement.
 */
export class TargetSender implements SliceTaker {
  readonly #options: TargetSenderOptions;
  readonly #resend: TargetResend;
  readonly #stop = new AbortController();
  readonly #slices: StrategySlice[] = [];
  #decided: StrategySlice | undefined;
  /** Rows that end with the slice decided last, and with those decided together with it. */
  #ends: readonly FeedEnd[] = [];
  #endedMs = Number.NEGATIVE_INFINITY;
  #mustRepeat = false;
  #isRunning = false;
  #retryNow: (() => void) | undefined;
  /** Gives up the calls of an attempt to end a slice; used for the next one as well if it was not. */
  #attempt = new AbortController();
  #done: Promise<void> = Promise.resolve();

  constructor(options: TargetSenderOptions) {
    this.#options = options;
    this.#resend = new TargetResend(options.clock, () => this.#repeat());
  }

  /** End of the last slice that was answered, milliseconds; −∞ before the first. */
  get endedMs(): number {
    return this.#endedMs;
  }

  /** Last slice decided on. */
  get decided(): StrategySlice | undefined {
    return this.#decided;
  }

  get hasRoom(): boolean {
    return this.#slices.length < waitingSlicesMax;
  }

  get isIdle(): boolean {
    return !this.#isRunning && this.#slices.length === 0;
  }

  /** Takes the next slice. */
  push(slice: StrategySlice): void {
    this.#slices.push(slice);
    this.#poke();
  }

  /** The gate was armed for a strategy: states its current targets again, at once if no slice is under way. */
  armed({ targets, decided }: HostedStrategy): void {
    if (decided === undefined) return;
    this.#resend.cancel();
    targets.restate();
    // The slice waits for what is stated under the lease: it does not end for a call that was sent before.
    this.#attempt.abort();
    this.#retryNow?.();
    this.#repeat();
  }

  /** The connection is back: reports the last end once more. */
  reconnected(): void {
    this.#retryNow?.();
    if (this.#decided !== undefined) this.#repeat();
  }

  /** Waits until every slice taken was answered, at most `waitMs`, then gives up. */
  async stop(waitMs: number): Promise<void> {
    const { clock } = this.#options;
    if (!this.isIdle) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(resolve, waitMs);
        void this.#done.then(() => {
          timer.cancel();
          resolve();
        });
      });
    }
    this.#stop.abort();
    this.#attempt.abort();
    this.#resend.cancel();
    this.#retryNow?.();
    await this.#done;
  }

  #repeat(): void {
    this.#mustRepeat = true;
    this.#poke();
  }

  #poke(): void {
    if (this.#isRunning || this.#stop.signal.aborted) return;
    this.#isRunning = true;
    this.#done = this.#run().finally(() => {
      this.#isRunning = false;
      if (this.#slices.length > 0 || this.#mustRepeat) this.#poke();
    });
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      const slices = [...this.#slices];
      if (slices.length === 0 && !this.#mustRepeat) return;
      for (const slice of slices) this.#decide(slice);
      if (slices.length > 0) this.#ends = lastEnds(slices);
      this.#mustRepeat = false;
      await this.#end();
      if (signal.aborted) return;
      this.#slices.splice(0, slices.length);
      for (const slice of slices) {
        this.#endedMs = slice.bucketEndMs;
        this.#options.listener.sliceEnded(slice);
      }
    }
  }

  #decide(slice: StrategySlice): void {
    const { gate, listener, strategies } = this.#options;
    this.#decided = slice;
    for (const strategy of strategies) {
      const bucket = slice.parts.get(strategy);
      if (bucket === undefined || strategy.isOut) continue;
      strategy.targets.decide(bucket);
      strategy.decided = bucket;
      const isShut = strategy.targets.isShut(gate, strategy.strategyId);
      listener.targetsFixed(strategy, bucket, isShut);
    }
  }

  /** Ends the rows of the slice decided last; states that again until the gateway has taken it. */
  async #end(): Promise<void> {
    const slice = this.#decided;
    if (slice === undefined) return;
    const { clock, reports } = this.#options;
    const signal = this.#stop.signal;
    for (let failures = 0; !signal.aborted; failures++) {
      if (this.#attempt.signal.aborted) this.#attempt = new AbortController();
      const attempt = this.#attempt;
      try {
        await this.#call(slice);
        return;
      } catch (failure) {
        if (signal.aborted) return;
        if (attempt.signal.aborted) {
          this.#mustRepeat = false;
          continue;
        }
        reports.problem(failure instanceof Error ? failure.message : String(failure));
        const wake = new AbortController();
        this.#retryNow = () => wake.abort();
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), wake.signal);
        this.#retryNow = undefined;
      }
    }
  }

  /**
   * Sends the targets that the router does not have, with the ends. A claim states one domain: strategies in other ones
   * come before, in calls of their own, so that all of them are taken at the marks of this slice.
   */
  async #call(slice: StrategySlice): Promise<void> {
    const { gate } = this.#options;
    const stated = this.#options.strategies.flatMap((strategy) => statedBy(strategy));
    const open = stated.filter((each) => gate.refusal(each) === null);
    const domains = [...new Set(open.map(({ strategyId }) => gate.domain(strategyId)))];
    const last = domains.pop();
    const refused: (readonly string[])[] = [];
    const emit = async (domain: ExecutionDomain, ends: readonly FeedEnd[]): Promise<boolean> => {
      const reasons = await this.#emit({ slice, ends, stated }, domain);
      if (reasons !== undefined) refused.push(reasons);
      return reasons !== undefined;
    };
    for (const domain of domains) await emit(domain, []);
    const ends = this.#ends;
    const isSent = last !== undefined && (await emit(last, ends));
    if (!isSent) await this.#send(gate.standingClaim(), { slice, ends, stated: [] });
    if (refused.length > 0 && !this.#stop.signal.aborted) this.#resend.answered(refused.flat());
  }

  /**
   * Sends the targets of the strategies whose gate lets them out in a domain; undefined if it lets none. Gives the
   * reasons for which targets were refused.
   */
  async #emit(call: TargetsContent, domain: ExecutionDomain): Promise<string[] | undefined> {
    const { gate, session } = this.#options;
    const { applied, lease, latched } = gate.state;
    const emitted = gate.emit(call.stated, domain, (claim, passed) => {
      return { passed, response: this.#send(claim, { ...call, stated: passed }) };
    });
    if (typeof emitted === "string") return undefined;
    const { state } = gate;
    const isOther = state.applied !== applied || state.lease !== lease || state.latched !== latched;
    if (isOther || emitted.effects.length > 0) session.follow(emitted.effects, "");
    const { passed, response } = emitted.result;
    return answered(passed, await response);
  }

  #send(claim: SenderClaim, content: TargetsContent): Promise<Taken> {
    const { link, strategies, evaluations } = this.#options;
    const update = targetUpdate({ strategies, evaluations }, claim, content);
    return link.end(update, this.#attempt.signal);
  }
}

/** The last row of each feed that ends with one of these slices. */
function lastEnds(slices: readonly StrategySlice[]): FeedEnd[] {
  const all = slices.flatMap(({ ends }) => ends);
  return [...new Map(all.map((end) => [end.source, end])).values()];
}

/** What a call says: rows that end with it, and targets. */
interface TargetsContent {
  readonly slice: StrategySlice;
  readonly ends: readonly FeedEnd[];
  readonly stated: readonly StrategyStatement[];
}

/** What a strategy states in a call. */
interface StrategyStatement extends OrderSubject {
  readonly strategy: HostedStrategy;
  readonly stated: StatedTargets;
}

/** What a strategy has to state now; nothing if the router has all of it. */
function statedBy(strategy: HostedStrategy): StrategyStatement[] {
  if (strategy.isOut) return [];
  const stated = strategy.targets.unsent();
  if (stated.targets.length === 0) return [];
  const sides = [...new Set(stated.targets.flatMap(sidesOf))];
  return [{ strategy, strategyId: strategy.strategyId, sides, stated }];
}

/** Takes the results of a call. Returns the reasons for which targets were refused. */
function answered(passed: readonly StrategyStatement[], { results }: Taken): string[] {
  const refused: string[] = [];
  let next = 0;
  for (const { strategy, stated } of passed) {
    const { reports, targets } = strategy;
    stated.targets.forEach((each, at) => {
      const result = results[next++];
      if (result?.accepted !== true) {
        const reason =
          result === undefined ? "no result" : (reasonName(result.reason) ?? "unknown");
        refused.push(reason);
        const { target, value } = each;
        const refusal = `target ${value} of ${target.instrument}: ${targetReason(reason)}`;
        reports.event("target_refused", refusal);
        return;
      }
      const { isCheck } = each;
      targets.taken(at, stated);
      const orders = result.clientOrderIds.length;
      strategy.sentOrders += orders;
      // Why an accepted target makes no order, or fewer.
      const reason = reasonName(result.reason) ?? "";
      if (isCheck && orders === 0 && reason === "") return;
      const why = reason === "" ? "" : `: ${targetReason(reason)}`;
      const row = strategy.decided?.row;
      reports.event("target_sent", `target ${each.value}, ${orders} orders${why}`, row);
    });
  }
  return refused;
}

/** The caller that states targets, with its counters. */
interface TargetsCaller {
  readonly strategies: readonly HostedStrategy[];
  readonly evaluations: Evaluations;
}

/**
 * Ends rows of a slice, with the targets to send, under the gate's claim. A target names the row of its
 * instrument's mark source, or another one where that has none.
 */
function targetUpdate(
  { strategies, evaluations }: TargetsCaller,
  claim: SenderClaim,
  { slice, ends, stated }: TargetsContent,
): MessageInitShape<typeof TargetUpdateSchema> {
  const running = strategies.filter(({ isOut }) => !isOut);
  const wanted = running.map(({ strategyId, state: { wantedOrders: count } }) => {
    return { strategyId, count: BigInt(count) };
  });
  const bucketEndTime = timestampFromMs(slice.bucketEndMs);
  const rowOf = ({ decided }: HostedStrategy, markSource: string | undefined): number =>
    (slice.ends.find(({ source }) => source === markSource) ?? slice.ends[0])?.row ??
    decided?.row ??
    0;
  const targets = stated.flatMap((by) => by.stated.targets.map((each) => ({ ...by, ...each })));
  return {
    claim: {
      leaseId: claim.leaseId,
      fence: BigInt(claim.fence),
      domain: domainToProto(claim.domain),
    },
    targets: targets.map(({ strategy, strategyId, target, value, sizedRow }) => ({
      strategyId,
      instrument: target.instrument,
      size: { case: "weight", value },
      row: BigInt(rowOf(strategy, target.markSource)),
      bucketEndTime,
      inputWatermarkTime: bucketEndTime,
      ...(sizedRow < 0 ? {} : { sizedRow: BigInt(sizedRow) }),
      ...(target.drift > 0 ? { rebalance: { drift: target.drift } } : {}),
    })),
    // A bucket of computed queues alone ends no row of a feed.
    ends: ends.map(({ source, row }) => ({ source, row: BigInt(row) })),
    strategyIds: running.map(({ strategyId }) => strategyId),
    wantedOrders: wanted.reduce((sum, { count }) => sum + count, 0n),
    // Of one strategy, they are all its own.
    wanted: strategies.length > 1 ? wanted : [],
    signalGaps: running.flatMap(({ strategyId, signalGaps }) =>
      signalGaps.map(({ buckets, ...gap }) => ({ ...gap, strategyId, buckets: BigInt(buckets) })),
    ),
    sharedEvaluations: BigInt(evaluations.shared),
    ownEvaluations: BigInt(evaluations.own),
  };
}

/** The most frequent reasons, explained to whoever runs the strategy. */
const MEANINGS: Readonly<Record<string, string>> = {
  ACCOUNT_RUINED: "the equity of the account was 0 or below; it opens nothing any more",
  ACCOUNT_NOT_FOUND: "the world has no account at this gateway",
  BELOW_MINIMUM: "its order would be worth less than the instrument's min_notional",
  BUCKET_STALE: "it is older than the world's max_lag allows, or than one that was taken",
  CONFIG_INVALID: "rows of its feed cannot be booked; the log of the gateway says what to set",
  GATE_SHUT:
    "the gateway lets no order of it out now; `qmtl world show` says whether an order was written too late",
  HALTED: "a halt is in force",
  INSTRUMENT_NOT_FOUND: "the world's account does not list the instrument",
  MARGIN_CALL: "positions of the account are being reduced for lack of margin",
  MARK_INVALID: "the instrument has no mark yet, or one of 0 or below",
  NO_CAPITAL: "the strategy's share, or the world's allocation, is 0",
  REDUCED_TO_BUYING_POWER:
    "it was cut to what the money of the account allows; see accounts.*.leverage_max",
  OVER_LIMIT:
    "beyond a limit of the account, or above the largest weight that its submission declares",
};

/** A reason with what it means, where that is known. */
function targetReason(reason: string): string {
  const meaning = MEANINGS[reason];
  return meaning === undefined ? reason : `${reason}, ${meaning}`;
}
