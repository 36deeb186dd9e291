import type { Client } from "@connectrpc/connect";
import type { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { pause, type SdkClock } from "../control/index.ts";

export interface RunnerSetsOptions {
  readonly queues: Client<typeof QueueService>;
  readonly clock: SdkClock;
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyId: string;
  /** This session is in the feed's set: no row of it passes unseen from now on. */
  readonly onEntered: (source: string) => void;
  readonly onProblem: (problem: string) => void;
}

const againMs = 100;
const againMsMax = 2_000;
/** How long leaving a set may take, milliseconds. */
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
    const { queues, sessionId } = this.#options;
    const call = { timeoutMs: leaveMsMax };
    await Promise.all(
      [...this.#entering].map(async ([source, entering]) => {
        await entering;
        await queues.deleteReplayRunner({ source, sessionId }, call).catch(() => undefined);
      }),
    );
  }

  async #enter(source: string): Promise<void> {
    const { queues, clock, sessionId, worldId, strategyId, onEntered, onProblem } = this.#options;
    const runner = { sessionId, worldId, strategyIds: [strategyId] };
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await queues.createReplayRunner({ source, runner });
        onEntered(source);
        return;
      } catch (failure) {
        onProblem(String(failure));
        await pause(clock, Math.min(againMsMax, againMs * 2 ** failures), signal);
      }
    }
  }
}
