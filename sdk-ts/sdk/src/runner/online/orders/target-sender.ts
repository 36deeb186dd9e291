import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type OrderService,
  type SetTargetsRequest,
  SetTargetsRequestSchema,
  type SetTargetsResponse,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import {
  type ControlSession,
  domainToProto,
  type OrderGate,
  pause,
  type SdkClock,
  type SenderClaim,
} from "../../../control/index.ts";
import { hasReason } from "../../../rpc/qmtl-error.ts";
import { reasonName } from "../../../rpc/reason-code.ts";
import type { ComputedBucket, FeedEnd } from "../compute/clocks.ts";
import type { BucketTaker } from "../compute/swap.ts";
import type { OnlineTarget } from "../session/graph.ts";
import type { Evaluations } from "../session/online-run.ts";
import type { RunReports } from "../session/run-reporter.ts";
import { type StatedTarget, type StatedTargets, sidesOf, TargetBook } from "./target-book.ts";
import { TargetResend } from "./target-resend.ts";

interface TargetSenderOptions {
  readonly orders: Client<typeof OrderService>;
  readonly clock: SdkClock;
  readonly gate: OrderGate;
  readonly strategyId: string;
  readonly targets: readonly OnlineTarget[];
  readonly session: Pick<ControlSession, "ticket" | "dropTicket" | "follow">;
  readonly counts: TargetCounts;
  readonly reports: RunReports;
  readonly listener: BucketListener;
}

/** Counters of a run, which go to the gateway with each call. */
export interface TargetCounts {
  readonly wantedOrders: number;
  readonly evaluations: Evaluations;
}

/** Notified of the buckets whose targets are sent. Implemented by `RunParts`. */
export interface BucketListener {
  /** Called before the bucket is sent, with the values in the order of the targets. */
  targetsFixed(bucket: ComputedBucket, values: readonly number[], isGateShut: boolean): void;
  /** Every row of the bucket is answered. */
  bucketEnded(bucket: ComputedBucket): void;
}

/** Largest number of buckets that may wait for their end to be answered. */
const waitingBucketsMax = 64;
const againMs = 100;
const againMsMax = 2_000;

/**
 * Decides the targets of each bucket and reports its end to the gateway, with one call for all feeds whose rows end
 * there. The call is repeated until it is answered; then the rows are ended. A target is sent if it changed or was not
 * taken under the lease in force.
 *
 * A barrier lets no row pass before the one before was ended, unless nothing may order, or this session was dropped: of
 * several buckets that wait, no target but the last one's could be taken. They are decided on in order, and end with one
 * call.
 */
export class TargetSender implements BucketTaker {
  readonly #options: TargetSenderOptions;
  readonly #targets: TargetBook;
  readonly #resend: TargetResend;
  readonly #stop = new AbortController();
  readonly #buckets: ComputedBucket[] = [];
  #decided: ComputedBucket | undefined;
  /** Rows that end with the bucket decided last, and with those decided together with it. */
  #ends: readonly FeedEnd[] = [];
  #endedMs = Number.NEGATIVE_INFINITY;
  #mustRepeat = false;
  #isRunning = false;
  #retryNow: (() => void) | undefined;
  #sentOrders = 0;
  #done: Promise<void> = Promise.resolve();

  constructor(options: TargetSenderOptions) {
    this.#options = options;
    this.#targets = new TargetBook(options.targets);
    this.#resend = new TargetResend(options.clock, () => this.#repeat());
  }

  /** Value of each target, in their order. */
  get values(): readonly number[] {
    return this.#targets.all.map(({ value }) => value);
  }

  get sentOrders(): number {
    return this.#sentOrders;
  }

  /** End of the last bucket that was answered, milliseconds; −∞ before the first. */
  get endedMs(): number {
    return this.#endedMs;
  }

  /** Last bucket decided on. */
  get decided(): ComputedBucket | undefined {
    return this.#decided;
  }

  get hasRoom(): boolean {
    return this.#buckets.length < waitingBucketsMax;
  }

  get isIdle(): boolean {
    return !this.#isRunning && this.#buckets.length === 0;
  }

  /** Takes the next bucket. */
  push(bucket: ComputedBucket): void {
    this.#buckets.push(bucket);
    this.#poke();
  }

  /** The gate was armed: states the current targets again, at once if no bucket is under way. */
  armed(): void {
    if (this.#decided === undefined) return;
    this.#resend.cancel();
    this.#targets.restate();
    this.#repeat();
  }

  /** The connection is back: reports the last end once more. */
  reconnected(): void {
    this.#retryNow?.();
    if (this.#decided !== undefined) this.#repeat();
  }

  /** Waits until every bucket taken was answered, at most `waitMs`, then gives up. */
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
      if (this.#buckets.length > 0 || this.#mustRepeat) this.#poke();
    });
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      const buckets = [...this.#buckets];
      if (buckets.length > 0) this.#decide(buckets);
      else if (!this.#mustRepeat) return;
      this.#mustRepeat = false;
      await this.#end();
      if (signal.aborted) return;
      this.#buckets.splice(0, buckets.length);
      for (const bucket of buckets) {
        this.#endedMs = bucket.bucketEndMs;
        this.#options.listener.bucketEnded(bucket);
      }
    }
  }

  #decide(buckets: readonly ComputedBucket[]): void {
    const { gate, listener } = this.#options;
    const ends = new Map<string, FeedEnd>();
    for (const bucket of buckets) {
      this.#targets.decide(bucket);
      this.#decided = bucket;
      for (const end of bucket.ends) ends.set(end.source, end);
      listener.targetsFixed(bucket, this.values, this.#targets.isShut(gate));
    }
    this.#ends = [...ends.values()];
  }

  /** Ends the rows of the bucket decided last; repeats the call until the gateway answers. */
  async #end(): Promise<void> {
    const bucket = this.#decided;
    if (bucket === undefined) return;
    const { clock, session, reports } = this.#options;
    const signal = this.#stop.signal;
    for (let failures = 0; !signal.aborted; failures++) {
      const { ticket } = session;
      try {
        await this.#call(bucket);
        return;
      } catch (failure) {
        if (signal.aborted) return;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) session.dropTicket(ticket);
        reports.problem(failure instanceof Error ? failure.message : String(failure));
        const wake = new AbortController();
        this.#retryNow = () => wake.abort();
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), wake.signal);
        this.#retryNow = undefined;
      }
    }
  }

  async #call(bucket: ComputedBucket): Promise<void> {
    const { gate, session } = this.#options;
    const stated = this.#targets.unsent();
    const { targets } = stated;
    const sides = [...new Set(targets.flatMap(sidesOf))];
    if (targets.length > 0) {
      const emitted = gate.emit(sides, (claim) => this.#send(claim, bucket, targets));
      if (typeof emitted !== "string") {
        session.follow(emitted.effects, "");
        this.#answered(bucket, stated, await emitted.result);
        return;
      }
    }
    await this.#send(gate.shutClaim(), bucket, []);
  }

  #answered(bucket: ComputedBucket, stated: StatedTargets, { results }: SetTargetsResponse): void {
    const { reports } = this.#options;
    const refused: string[] = [];
    stated.targets.forEach((each, at) => {
      const result = results[at];
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
      this.#targets.taken(at, stated);
      const orders = result.clientOrderIds.length;
      this.#sentOrders += orders;
      // Why an accepted target makes no order, or fewer.
      const reason = reasonName(result.reason) ?? "";
      if (isCheck && orders === 0 && reason === "") return;
      const why = reason === "" ? "" : `: ${targetReason(reason)}`;
      reports.event("target_sent", `target ${each.value}, ${orders} orders${why}`, bucket.row);
    });
    if (!this.#stop.signal.aborted) this.#resend.answered(refused);
  }

  #send(
    claim: SenderClaim,
    bucket: ComputedBucket,
    targets: readonly StatedTarget[],
  ): Promise<SetTargetsResponse> {
    const { orders, session, strategyId, counts } = this.#options;
    const { wantedOrders, evaluations } = counts;
    const caller = { strategyId, ticket: session.ticket, wantedOrders, evaluations };
    const request = targetsRequest(caller, claim, { bucket, ends: this.#ends }, targets);
    return orders.setTargets(request, { signal: this.#stop.signal, timeoutMs: 10_000 });
  }
}

/** The caller that states targets, with its counters. */
interface TargetsCaller {
  readonly strategyId: string;
  readonly ticket: string;
  readonly wantedOrders: number;
  readonly evaluations: Evaluations;
}

/**
 * Request that ends rows up to those of a bucket, with the targets to send, under the gate's claim. A target names the row of its
 * instrument's mark source, or another one where that has none.
 */
function targetsRequest(
  caller: TargetsCaller,
  claim: SenderClaim,
  { bucket, ends }: { readonly bucket: ComputedBucket; readonly ends: readonly FeedEnd[] },
  targets: readonly StatedTarget[],
): SetTargetsRequest {
  const { strategyId, ticket, wantedOrders, evaluations } = caller;
  const bucketEndTime = timestampFromMs(bucket.bucketEndMs);
  const rowOf = (markSource: string | undefined): number =>
    (bucket.ends.find(({ source }) => source === markSource) ?? bucket.ends[0])?.row ?? bucket.row;
  const request: MessageInitShape<typeof SetTargetsRequestSchema> = {
    ticket,
    update: {
      claim: {
        leaseId: claim.leaseId,
        fence: BigInt(claim.fence),
        domain: domainToProto(claim.domain),
      },
      targets: targets.map(({ target, value, sizedRow }) => ({
        strategyId,
        instrument: target.instrument,
        size: { case: "weight", value },
        row: BigInt(rowOf(target.markSource)),
        bucketEndTime,
        inputWatermarkTime: bucketEndTime,
        ...(sizedRow < 0 ? {} : { sizedRow: BigInt(sizedRow) }),
        ...(target.drift > 0 ? { rebalance: { drift: target.drift } } : {}),
      })),
      // A bucket of computed queues alone ends no row of a feed.
      ends: ends.map(({ source, row }) => ({ source, row: BigInt(row) })),
      strategyIds: [strategyId],
      wantedOrders: BigInt(wantedOrders),
      sharedEvaluations: BigInt(evaluations.shared),
      ownEvaluations: BigInt(evaluations.own),
    },
  };
  return create(SetTargetsRequestSchema, request);
}

/** The most frequent reasons, explained to whoever runs the strategy. */
const MEANINGS: Readonly<Record<string, string>> = {
  ACCOUNT_RUINED: "the equity of the account was 0 or below; it opens nothing any more",
  ACCOUNT_NOT_FOUND: "the world has no account at this gateway",
  BELOW_MINIMUM: "its order would be worth less than the instrument's min_notional",
  BUCKET_STALE: "it is older than the world's max_lag allows, or than one that was taken",
  CONFIG_INVALID: "rows of its feed cannot be booked; the log of the gateway says what to set",
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
