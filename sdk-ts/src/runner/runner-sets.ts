import { pause } from "../control/index.ts";
import { hasReason } from "../rpc/qmtl-error.ts";
import type { RunPorts } from "./run-ports.ts";

export interface RunnerSetsOptions {
  readonly ports: Pick<RunPorts, "queues" | "clock" | "ticket" | "onTicketRefused" | "onProblem">;
  /** This session is in the feed's set: no row of it passes unseen from now on. */
  readonly onEntered: (source: string) => void;
}

const againMs = 100;
const againMsMax = 2_000;
/** How long leaving the sets may take, milliseconds. */
const leaveMsMax = 2_000;

/** This session's places in the runner sets of the feeds it reads. */
export class RunnerSets {
  readonly #options: RunnerSetsOptions;
  readonly #stop = new AbortController();
  readonly #entering = new Map<string, Promise<void>>();
  readonly #entered = new Set<string>();

  constructor(options: RunnerSetsOptions) {
    this.#options = options;
  }

  /** Enters a feed's set, once; repeats until that went through. */
  enter(source: string): void {
    if (this.#entering.has(source) || this.#stop.signal.aborted) return;
    this.#entering.set(source, this.#enter(source));
  }

  /** Feeds stopped waiting for this session, which fell silent: it enters those again that it was in. */
  again(sources: readonly string[]): void {
    for (const source of sources) {
      if (!this.#entered.delete(source)) continue;
      this.#entering.delete(source);
      this.enter(source);
    }
  }

  /** Leaves all sets. */
  async leave(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#entering.values());
    const { queues, ticket } = this.#options.ports;
    if (this.#entering.size === 0 || ticket() === "") return;
    const request = { ticket: ticket(), sources: [...this.#entering.keys()] };
    await queues.deleteReplayRunner(request, { timeoutMs: leaveMsMax }).catch(() => undefined);
  }

  async #enter(source: string): Promise<void> {
    const { ports, onEntered } = this.#options;
    const { queues, clock } = ports;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; ) {
      const ticket = ports.ticket();
      if (ticket === "") {
        await pause(clock, againMs, signal);
        continue;
      }
      try {
        await queues.createReplayRunner({ ticket, sources: [source] });
        this.#entered.add(source);
        onEntered(source);
        return;
      } catch (failure) {
        if (hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) ports.onTicketRefused(ticket);
        else ports.onProblem(String(failure));
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures++), signal);
      }
    }
  }
}
