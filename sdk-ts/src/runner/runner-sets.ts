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

  constructor(options: RunnerSetsOptions) {
    this.#options = options;
  }

  /** Enters a feed's set, once; repeats until that went through. */
  enter(source: string): void {
    if (this.#entering.has(source) || this.#stop.signal.aborted) return;
    this.#entering.set(source, this.#enter(source));
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
