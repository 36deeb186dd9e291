import type { HeartbeatReply } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal, Clock, ClockTimer } from "@qmtl/service-kit";
import type { Peer } from "../peers/peer.ts";
import type { ClaimedHeartbeat, LeaseRelay } from "../ports.ts";

/** Longest time a heartbeat waits for others, milliseconds. */
const batchMs = 50;
/** Largest number of heartbeats of one batch. */
const batchMax = 1_000;
/** Longest wait for WorldService, milliseconds: past it a lease would be of little use. */
const answerMs = 2_000;
/** Largest number of heartbeats that wait; more are refused. */
const waitingMax = 20_000;

interface Waiting {
  readonly heartbeat: ClaimedHeartbeat;
  resolve(reply: HeartbeatReply): void;
  reject(failure: unknown): void;
}

/**
 * Heartbeats on their way to WorldService. The first leaves at once; those that come before it is answered leave
 * together, at most 50 ms later. Answers are WorldService's own, untouched: none is ever made or kept here.
 */
export class BatchedLeaseRelay implements LeaseRelay {
  readonly #world: Peer;
  readonly #clock: Clock;
  readonly #gateway: CallPrincipal;
  #waiting: Waiting[] = [];
  #away = 0;
  #timer: ClockTimer | undefined;
  #isStopped = false;

  constructor(ports: { world: Peer; clock: Clock; gateway: CallPrincipal }) {
    this.#world = ports.world;
    this.#clock = ports.clock;
    this.#gateway = ports.gateway;
  }

  renew(heartbeat: ClaimedHeartbeat): Promise<HeartbeatReply> {
    if (this.#isStopped) return Promise.reject(halted());
    if (this.#waiting.length >= waitingMax) {
      const message = `${waitingMax} heartbeats wait`;
      return Promise.reject(new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 1_000 }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ heartbeat, resolve, reject });
      if (this.#away === 0 || this.#waiting.length >= batchMax) this.#send();
      else this.#timer ??= this.#clock.setTimer(() => this.#send(), batchMs);
    });
  }

  setStopped(stopped: boolean): void {
    this.#isStopped = stopped;
    if (!stopped) return;
    for (const { reject } of this.#waiting.splice(0)) reject(halted());
  }

  #send(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const batch = this.#waiting.splice(0, batchMax);
    if (batch.length === 0) return;
    this.#away += 1;
    this.#deliver(batch)
      .catch((failure: unknown) => {
        for (const { reject } of batch) reject(failure);
      })
      .finally(() => {
        this.#away -= 1;
        if (this.#away === 0) this.#send();
      });
  }

  async #deliver(batch: readonly Waiting[]): Promise<void> {
    const heartbeats = batch.map(({ heartbeat }) => heartbeat);
    const { replies } = await this.#world.unary(
      SubscriptionService.method.relayHeartbeats,
      { heartbeats },
      { principal: this.#gateway, timeoutMs: answerMs },
    );
    batch.forEach(({ heartbeat, resolve, reject }, at) => {
      const reply = replies[at];
      const isIts = reply?.heartbeatSeq === heartbeat.heartbeat?.heartbeatSeq;
      if (reply !== undefined && isIts) resolve(reply);
      else
        reject(new QmtlError("PEER_UNAVAILABLE", "WorldService gave no answer to this heartbeat"));
    });
  }
}

function halted(): QmtlError {
  return new QmtlError("HALTED", "a halt of everything is in force: heartbeats are not relayed");
}
