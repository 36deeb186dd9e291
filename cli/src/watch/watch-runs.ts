import type { RunEnd, WatchEvent } from "./watch-event.ts";

/** A run under way. */
export interface StartedRun {
  /** Settles when nothing of the run is left; never rejects. */
  readonly ended: Promise<RunEnd>;
  /** Asks the run to end cleanly; a second call ends it at once. */
  stop(): void;
}

export interface WatchRunsOptions {
  /** Starts a run; from then on, changes of the files it depends on count. */
  readonly start: () => StartedRun;
  /** Resolves to the files that changed since the run was started, or since the last call. */
  readonly nextChange: () => Promise<readonly string[]>;
  readonly tell: (event: WatchEvent) => void;
  /** Ends the watch: the run under way is stopped cleanly first. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * Runs, and runs again after every change, until the signal aborts. A run that is under way at a change is stopped
 * first, and the next one starts only when nothing of it is left. How a run ends makes no difference.
 */
export async function watchRuns(options: WatchRunsOptions): Promise<void> {
  const { start, nextChange, tell, signal, now } = options;
  const closed = aborted(signal);
  for (let run = 1; !signal.aborted; run++) {
    const startedMs = now();
    const current = start();
    tell({ kind: "run", run, timeMs: startedMs });
    const change = nextChange();
    const end = await Promise.race([current.ended, change.then(noEnd), closed.then(noEnd)]);
    if (end !== undefined) {
      tell({ kind: "finished", run, tookMs: now() - startedMs, end });
      await Promise.race([change, closed]);
    }
    if (!signal.aborted) tell({ kind: "changed", timeMs: now(), files: await change });
    if (end === undefined) {
      current.stop();
      await current.ended;
      tell({ kind: "ended", run, tookMs: now() - startedMs });
    }
  }
  tell({ kind: "closed" });
}

const noEnd = (): undefined => undefined;

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
