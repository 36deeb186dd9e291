import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { type CallPrincipal, type Clock, sleep } from "@qmtl/service-kit";
import type { Peer } from "./peer.ts";

/** How often a peer is asked, milliseconds: a dead one is known after this and the time to answer. */
const everyMs = 2_000;
/** Longest wait for its answer, milliseconds. */
const answerMs = 2_000;

/**
 * Asks each peer every two seconds whether it is there, so that health shows a dead peer even if nobody called it, and
 * whether a peer that could not work can again.
 */
export class PeerProbe {
  readonly #peers: readonly Peer[];
  readonly #gateway: CallPrincipal;
  readonly #clock: Clock;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> | undefined;

  constructor(peers: readonly Peer[], gateway: CallPrincipal, clock: Clock) {
    this.#peers = peers;
    this.#gateway = gateway;
    this.#clock = clock;
  }

  /** Begins asking; a second call does nothing. */
  start(): void {
    this.#running ??= Promise.all(this.#peers.map((peer) => this.#watch(peer)));
  }

  /** Ends; may be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #watch(peer: Peer): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const call = { principal: this.#gateway, signal, timeoutMs: answerMs };
      // The peer's monitor records the outcome.
      await peer
        .unary(SystemService.method.getCapabilities, {}, call)
        .then(() => peer.lookAgain(answerMs))
        .catch(() => {});
      await sleep(this.#clock, everyMs, signal);
    }
  }
}
