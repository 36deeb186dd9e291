import { hasReason } from "@qmtl/sdk/rpc";
import type { Clock, SessionScope } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { BarrierEnds } from "../../ports.ts";
import { requestKeptMs } from "../../store/request-store.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import { forgetAnswers, keepAnswer, keptAnswer } from "../store/kept-answers.ts";
import type { FeedRows } from "./feed-rows.ts";
import { checkKnownRow } from "./known-row.ts";
import {
  type DirectOrderCall,
  type DirectOrderVerdict,
  takeDirectOrders,
} from "./take-direct-orders.ts";
import { checkTicketCovers } from "./ticket-scope.ts";

interface DirectOrderIntakePorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly worlds: WorldRegistry;
  readonly feeds: FeedRows;
  readonly barrier: BarrierEnds;
  readonly accounts: AccountRegistry;
  readonly answers: DirectAnswers;
}

/** Converts answers to and from the form in which they are stored: the message that was sent. */
export interface DirectAnswers {
  encode(verdicts: readonly DirectOrderVerdict[]): Uint8Array;
  decode(kept: Uint8Array): DirectOrderVerdict[];
}

const kind = "plain";

/** SubmitOrders: each request id takes effect once; for 24 hours, a repeated one gets the same answer. */
export class DirectOrderIntake {
  readonly #ports: DirectOrderIntakePorts;

  constructor(ports: DirectOrderIntakePorts) {
    this.#ports = ports;
  }

  /**
   * Makes orders, or says why not, in the order of the call. Waits until the bars of their rows are booked, `waitMs` at
   * most.
   */
  async submit(
    call: DirectOrderCall,
    session: SessionScope,
    waitMs: number,
  ): Promise<readonly DirectOrderVerdict[]> {
    const strategies = call.orders.map((one) => one.strategy);
    checkTicketCovers(session, "trade", strategies);
    return this.#submit(call, waitMs).catch((failure: unknown) => {
      // A world without an account here takes no order.
      if (!hasReason(failure, "ACCOUNT_NOT_FOUND")) throw failure;
      const { reason } = failure;
      return call.orders.map((): DirectOrderVerdict => ({ accepted: false, reason, orders: [] }));
    });
  }

  async #submit(call: DirectOrderCall, waitMs: number): Promise<readonly DirectOrderVerdict[]> {
    const { barrier, worlds, feeds, accounts } = this.#ports;
    const kept = await this.#kept(call);
    if (kept !== undefined) return kept;
    const { source, accountId } = await worlds.open(call.world);
    const router = accounts.of(accountId);
    const rows = call.orders.map((one) => one.row);
    if (source !== "") {
      const checks = rows.map((row, at) =>
        checkKnownRow(barrier, { source, row }, { source: "ticket", row: `orders[${at}].row` }),
      );
      await Promise.all(checks);
    }
    // An order never meets an older book than the one it was decided on.
    await feeds.untilBooked(source, Math.max(...rows), waitMs);
    if (call.claim.lease === "own") await worlds.ready(call.world, call.claim, call.orders);
    return router.exclusive(async () => {
      const before = await this.#kept(call);
      if (before !== undefined) return before;
      // Opening it takes turns on this account: it would wait for this one.
      const world = worlds.opened(call.world);
      const closed = [source, ...router.market.sources()].map((name) => barrier.closedMs(name));
      return takeDirectOrders(router, {
        ...call,
        world,
        closedMs: Math.max(...closed),
        keep: (verdicts) => this.#keep(call, verdicts),
      });
    });
  }

  async #kept({
    requestId,
    requestHash,
  }: DirectOrderCall): Promise<DirectOrderVerdict[] | undefined> {
    const answer = await keptAnswer(this.#ports.db, kind, requestId, requestHash);
    return answer === undefined ? undefined : this.#ports.answers.decode(answer);
  }

  #keep(call: DirectOrderCall, verdicts: readonly DirectOrderVerdict[]) {
    return async (tx: Parameters<typeof keepAnswer>[0]): Promise<void> => {
      const { requestId, requestHash } = call;
      const answer = this.#ports.answers.encode(verdicts);
      const nowMs = this.#ports.clock.nowMs();
      await forgetAnswers(tx, kind, nowMs - requestKeptMs);
      await keepAnswer(tx, { kind, requestId, requestHash, answer, nowMs });
    };
  }
}
