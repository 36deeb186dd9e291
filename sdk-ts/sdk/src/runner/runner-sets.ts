import { pause } from "../control/index.ts";
import type { RunPorts } from "./run-ports.ts";

export interface RunnerSetsOptions {
  readonly ports: Pick<RunPorts, "queues" | "clock" | "tickets" | "onProblem">;
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
  /** Feeds whose set is being entered. */
  readonly #underWay = new Set<string>();

  constructor(options: RunnerSetsOptions) {
    this.#options = options;
  }

  /** Enters a feed's set, once; repeats until that went through. */
  enter(source: string): void {
    if (this.#entering.has(source) || this.#stop.signal.aborted) return;
    this.#underWay.add(source);
    const entering = this.#enter(source).finally(() => this.#underWay.delete(source));
    this.#entering.set(source, entering);
  }

  /** Feeds that took this session out of their sets because it was silent: it enters them again. */
  dropped(sources: readonly string[]): void {
    for (const source of sources) {
      const entering = this.#entering.get(source);
      // One that is being entered, now or again, is on its way already.
      if (entering === undefined || this.#underWay.has(source)) continue;
      this.#entering.delete(source);
      this.enter(source);
    }
  }

  /** Leaves all sets. */
  async leave(): Promise<void> {
    this.#stop.abort();
    const sources = [...this.#entering.keys()];
    await Promise.all(this.#entering.values());
    const { queues, tickets } = this.#options.ports;
    if (sources.length === 0) return;
    const limit = { timeoutMs: leaveMsMax };
    await tickets
      .call((ticket) => queues.deleteReplayRunner({ ticket, sources }, limit))
      .catch(() => undefined);
  }

  async #enter(source: string): Promise<void> {
    const { ports, onEntered } = this.#options;
    const { queues, tickets, clock, onProblem } = ports;
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const enter = (ticket: string) => queues.createReplayRunner({ ticket, sources: [source] });
        await tickets.call(enter, signal);
        onEntered(source);
        return;
      } catch (failure) {
        // Whoever is leaving has no problem with what it gives up.
        if (signal.aborted) return;
        onProblem(String(failure));
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
      }
    }
  }
}
