import type { Client } from "@connectrpc/connect";
import type {
  OrderService,
  SetTargetsResponse,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { SessionEffect } from "@qmtl/core/gate";
import { type GateWord, type OrderGate, pause, type SdkClock } from "../control/index.ts";
import { hasReason } from "../rpc/qmtl-error.ts";
import { reasonName } from "../rpc/reason-code.ts";
import type { ComputedBucket } from "./computed-bucket.ts";
import type { FeedEnd } from "./online-clocks.ts";
import type { Evaluations } from "./online-evaluations.ts";
import type { OnlineTarget } from "./online-graph.ts";
import { type StatedTarget, type StatedTargets, sidesOf, TargetBook } from "./target-book.ts";
import { TargetResend } from "./target-resend.ts";
import { targetsRequest } from "./targets-request.ts";

export interface TargetSenderOptions {
  readonly orders: Client<typeof OrderService>;
  readonly clock: SdkClock;
  readonly gate: OrderGate;
  readonly strategyId: string;
  readonly targets: readonly OnlineTarget[];
  readonly ticket: () => string;
  readonly onTicketRefused: (ticket: string) => void;
  readonly onEffects: (effects: readonly SessionEffect[]) => void;
  /** Before the bucket is sent: the simulated book takes it. Values in the order of the targets. */
  readonly onDecided: (
    bucket: ComputedBucket,
    values: readonly number[],
    isGateShut: boolean,
  ) => void;
  readonly counts: () => { readonly wantedOrders: number; readonly evaluations: Evaluations };
  /** `reason`: why an accepted target makes no order, or fewer; empty for none. */
  readonly onSent: (
    target: StatedTarget,
    bucket: ComputedBucket,
    orderIds: readonly string[],
    reason: string,
  ) => void;
  readonly onRefused: (target: StatedTarget, reason: string) => void;
  readonly onEnded: (bucket: ComputedBucket) => void;
  readonly onProblem: (problem: string) => void;
}

/** Buckets that wait for their end to be answered at most. */
export const edgeRowsMax = 64;
const againMs = 100;
const againMsMax = 2_000;

/**
 * The end of each bucket: decides, and tells the gateway, one bucket after the other, with one call for each feed whose
 * row ends there. Every row is ended once it is answered, repeated until then; a target goes along with the row of its
 * instrument's marks when it changed, or was not taken under the lease in force.
 */
export class TargetSender {
  readonly #options: TargetSenderOptions;
  readonly #targets: TargetBook;
  readonly #resend: TargetResend;
  readonly #stop = new AbortController();
  readonly #buckets: ComputedBucket[] = [];
  #decided: ComputedBucket | undefined;
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
    return this.#buckets.length < edgeRowsMax;
  }

  get isIdle(): boolean {
    return !this.#isRunning && this.#buckets.length === 0;
  }

  /** Takes the next bucket. */
  push(bucket: ComputedBucket): void {
    this.#buckets.push(bucket);
    this.#poke();
  }

  /** The gate armed: the current targets are stated again, at once if no bucket is under way. */
  armed(): void {
    if (this.#decided === undefined) return;
    this.#resend.cancel();
    this.#targets.restate();
    this.#repeat();
  }

  /** The connection is back: the last end is told once more. */
  reconnected(): void {
    this.#retryNow?.();
    if (this.#decided !== undefined) this.#repeat();
  }

  /** Waits until everything taken was answered, at most `waitMs`, then gives up. */
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
      const bucket = this.#buckets[0];
      if (bucket !== undefined) this.#decide(bucket);
      else if (!this.#mustRepeat) return;
      this.#mustRepeat = false;
      await this.#end();
      if (signal.aborted || bucket === undefined) continue;
      this.#buckets.shift();
      this.#endedMs = bucket.bucketEndMs;
      this.#options.onEnded(bucket);
    }
  }

  #decide(bucket: ComputedBucket): void {
    this.#targets.decide(bucket.targets);
    this.#decided = bucket;
    this.#options.onDecided(bucket, this.values, this.#targets.isShut(this.#options.gate));
  }

  /** Ends every row of the bucket decided last. */
  async #end(): Promise<void> {
    const bucket = this.#decided;
    if (bucket === undefined) return;
    // A bucket of computed queues alone ends no row of a feed; its targets are told all the same.
    const ends = bucket.ends.length > 0 ? bucket.ends : [{ source: "", row: bucket.row }];
    for (const end of ends) await this.#endRow(bucket, end, ends);
  }

  /** Ends one row; repeats until the gateway answers. */
  async #endRow(bucket: ComputedBucket, end: FeedEnd, ends: readonly FeedEnd[]): Promise<void> {
    const { clock, onProblem, onTicketRefused } = this.#options;
    const signal = this.#stop.signal;
    for (let failures = 0; !signal.aborted; failures++) {
      const ticket = this.#options.ticket();
      try {
        await this.#call(bucket, end, ends);
        return;
      } catch (failure) {
        if (signal.aborted) return;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) onTicketRefused(ticket);
        onProblem(failure instanceof Error ? failure.message : String(failure));
        const wake = new AbortController();
        this.#retryNow = () => wake.abort();
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), wake.signal);
        this.#retryNow = undefined;
      }
    }
  }

  async #call(bucket: ComputedBucket, end: FeedEnd, ends: readonly FeedEnd[]): Promise<void> {
    const { gate, onEffects } = this.#options;
    const stated = this.#targets.unsentWith(end, ends);
    const { targets } = stated;
    const sides = [...new Set(targets.flatMap(sidesOf))];
    if (targets.length > 0) {
      const emitted = gate.emit(sides, (word) => this.#send(word, bucket, end, targets));
      if (typeof emitted !== "string") {
        onEffects(emitted.effects);
        this.#answered(bucket, stated, await emitted.result);
        return;
      }
    }
    await this.#send(gate.shutWord(), bucket, end, []);
  }

  #answered(bucket: ComputedBucket, stated: StatedTargets, { results }: SetTargetsResponse): void {
    const { onSent, onRefused } = this.#options;
    const refused: string[] = [];
    stated.targets.forEach((each, at) => {
      const result = results[at];
      if (result?.accepted !== true) {
        const reason =
          result === undefined ? "no result" : (reasonName(result.reason) ?? "unknown");
        refused.push(reason);
        onRefused(each, reason);
        return;
      }
      this.#targets.taken(at, stated);
      this.#sentOrders += result.clientOrderIds.length;
      onSent(each, bucket, result.clientOrderIds, reasonName(result.reason) ?? "");
    });
    if (!this.#stop.signal.aborted) this.#resend.answered(refused);
  }

  #send(
    word: GateWord,
    bucket: ComputedBucket,
    end: FeedEnd,
    targets: readonly StatedTarget[],
  ): Promise<SetTargetsResponse> {
    const { orders, ticket, counts } = this.#options;
    const caller = { ...this.#options, ...counts(), ticket: ticket() };
    const request = targetsRequest(caller, word, bucket.bucketEndMs, end, targets);
    return orders.setTargets(request, { signal: this.#stop.signal, timeoutMs: 10_000 });
  }
}
