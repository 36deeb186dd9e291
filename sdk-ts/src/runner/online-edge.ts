import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type {
  OrderService,
  SetTargetsRequest,
  SetTargetsResponse,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { SetTargetsRequestSchema } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import {
  domainToProto,
  type GateWord,
  type OrderGate,
  pause,
  type SdkClock,
} from "../control/index.ts";
import type { PositionSide, SessionEffect } from "../gate/index.ts";
import { hasReason } from "../rpc/index.ts";
import type { ComputedRow } from "./online-compute.ts";
import type { Evaluations } from "./online-evaluations.ts";

export interface OnlineEdgeOptions {
  readonly orders: Client<typeof OrderService>;
  readonly clock: SdkClock;
  readonly gate: OrderGate;
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyId: string;
  readonly instrument: string | undefined;
  readonly source: string;
  readonly ticket: () => string;
  readonly onTicketRefused: () => void;
  readonly onEffects: (effects: readonly SessionEffect[]) => void;
  /** Before the row is sent: the simulated book takes it. */
  readonly onDecided: (row: ComputedRow, target: number, isGateShut: boolean) => void;
  readonly counts: () => { readonly wantedOrders: number; readonly evaluations: Evaluations };
  readonly onSent: (target: number, row: ComputedRow, orderIds: readonly string[]) => void;
  readonly onRefused: (reason: string) => void;
  readonly onEnded: (row: number) => void;
  readonly onProblem: (problem: string) => void;
}

/** Rows that wait for their end to be answered at most. */
export const edgeRowsMax = 64;
const againMs = 100;
const againMsMax = 2_000;

/**
 * The end of each bucket: decides, and tells the gateway, one row after the other. Every row is ended once it is
 * answered, repeated until then; a target goes along when it changed, or was not taken under the lease in force.
 */
export class OnlineEdge {
  readonly #options: OnlineEdgeOptions;
  readonly #stop = new AbortController();
  readonly #rows: ComputedRow[] = [];
  #target = 0;
  #lastSide: PositionSide = "long";
  /** The target is not the router's latest under the lease in force. */
  #isUnsent = false;
  #decided: ComputedRow | undefined;
  #endedRow = Number.NEGATIVE_INFINITY;
  #mustRepeat = false;
  #isRunning = false;
  #retryNow: (() => void) | undefined;
  #sentOrders = 0;
  #done: Promise<void> = Promise.resolve();

  constructor(options: OnlineEdgeOptions) {
    this.#options = options;
  }

  get target(): number {
    return this.#target;
  }

  get sentOrders(): number {
    return this.#sentOrders;
  }

  /** Last row that was answered. */
  get endedRow(): number {
    return this.#endedRow;
  }

  /** Last row decided on. */
  get decidedRow(): number {
    return this.#decided?.row ?? Number.NEGATIVE_INFINITY;
  }

  get hasRoom(): boolean {
    return this.#rows.length < edgeRowsMax;
  }

  get isIdle(): boolean {
    return !this.#isRunning && this.#rows.length === 0;
  }

  /** Takes the next row. */
  push(row: ComputedRow): void {
    this.#rows.push(row);
    this.#poke();
  }

  /** The gate armed: the current target is stated again, at once if no row is under way. */
  armed(): void {
    if (this.#decided === undefined) return;
    this.#isUnsent = true;
    this.#mustRepeat = true;
    this.#poke();
  }

  /** The connection is back: the last end is told once more. */
  reconnected(): void {
    this.#retryNow?.();
    if (this.#decided === undefined) return;
    this.#mustRepeat = true;
    this.#poke();
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
    await this.#done;
  }

  #poke(): void {
    if (this.#isRunning || this.#stop.signal.aborted) return;
    this.#isRunning = true;
    this.#done = this.#run().finally(() => {
      this.#isRunning = false;
      if (this.#rows.length > 0 || this.#mustRepeat) this.#poke();
    });
  }

  async #run(): Promise<void> {
    const signal = this.#stop.signal;
    while (!signal.aborted) {
      const row = this.#rows[0];
      if (row !== undefined) this.#decide(row);
      else if (!this.#mustRepeat) return;
      this.#mustRepeat = false;
      await this.#end();
      if (signal.aborted || row === undefined) continue;
      this.#rows.shift();
      this.#endedRow = row.row;
      this.#options.onEnded(row.row);
    }
  }

  #decide(row: ComputedRow): void {
    const { gate, onDecided } = this.#options;
    const value = Number.isNaN(row.target) ? this.#target : row.target;
    if (value !== this.#target) this.#isUnsent = true;
    if (value !== 0) this.#lastSide = value > 0 ? "long" : "short";
    this.#target = value;
    this.#decided = row;
    onDecided(row, value, gate.refusal(this.#sides()) !== null);
  }

  #sides(): PositionSide[] {
    return this.#target === 0
      ? [this.#lastSide, this.#lastSide === "long" ? "short" : "long"]
      : [this.#lastSide];
  }

  /** Ends the row decided last; repeats until the gateway answers. */
  async #end(): Promise<void> {
    const { clock, onProblem, onTicketRefused } = this.#options;
    const signal = this.#stop.signal;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#call();
        return;
      } catch (failure) {
        if (signal.aborted) return;
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) onTicketRefused();
        onProblem(failure instanceof Error ? failure.message : String(failure));
        const wake = new AbortController();
        this.#retryNow = () => wake.abort();
        const either = AbortSignal.any([signal, wake.signal]);
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), either);
        this.#retryNow = undefined;
      }
    }
  }

  async #call(): Promise<void> {
    const { gate, onEffects, instrument, onSent, onRefused } = this.#options;
    const row = this.#decided;
    if (row === undefined) return;
    const target = this.#target;
    if (this.#isUnsent && instrument !== undefined) {
      const emitted = gate.emit(this.#sides(), (word) => this.#send(word, row, true));
      if (typeof emitted !== "string") {
        onEffects(emitted.effects);
        const result = (await emitted.result).results[0];
        if (result?.accepted === true) {
          this.#isUnsent = this.#target !== target;
          this.#sentOrders += result.clientOrderIds.length;
          onSent(target, row, result.clientOrderIds);
        } else onRefused(result?.reason ?? "no result");
        return;
      }
    }
    await this.#send(gate.shutWord(), row, false);
  }

  #send(word: GateWord, row: ComputedRow, withTarget: boolean): Promise<SetTargetsResponse> {
    const { orders } = this.#options;
    return orders.setTargets(this.#request(word, row, withTarget), {
      signal: this.#stop.signal,
      timeoutMs: 10_000,
    });
  }

  #request(word: GateWord, row: ComputedRow, withTarget: boolean): SetTargetsRequest {
    const { sessionId, worldId, strategyId, instrument = "", source, counts } = this.#options;
    const { wantedOrders, evaluations } = counts();
    const target = {
      strategyId,
      instrument,
      value: this.#target,
      row: BigInt(row.row),
      bucketEndMs: BigInt(row.bucketEndMs),
      inputWatermarkMs: BigInt(row.bucketEndMs),
    };
    const request: MessageInitShape<typeof SetTargetsRequestSchema> = {
      ticket: this.#options.ticket(),
      claim: {
        worldId,
        sessionId,
        leaseId: word.leaseId,
        fence: BigInt(word.fence),
        revision: BigInt(word.revision),
        decisionId: word.decisionId,
        domain: domainToProto(word.domain),
        validForMs: Math.max(0, Math.floor(word.validForMs)),
      },
      targets: withTarget ? [target] : [],
      source,
      endRow: BigInt(row.row),
      wantedOrders: BigInt(wantedOrders),
      strategyIds: [strategyId],
      evaluations: Object.fromEntries(
        Object.entries(evaluations).map(([kind, count]) => [kind, BigInt(count)]),
      ),
    };
    return create(SetTargetsRequestSchema, request);
  }
}
