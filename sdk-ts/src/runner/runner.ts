import { runOffline } from "./offline-run.ts";
import type { OnlineRun } from "./online-run.ts";
import { runInWorld } from "./run-in-world.ts";

/** Runs strategies. */
export const Runner = {
  /** Backtests a strategy on files, with no server. See {@link runOffline}. */
  offline: runOffline,
  /** Runs a strategy in a world. See {@link runInWorld}. */
  run: runInWorld,
  /** The same, for `await using`: the run ends with its scope. */
  session: runInWorld,
  /** Ends a run cleanly. See {@link shutdownRun}. */
  shutdown: shutdownRun,
} as const;

/**
 * Ends a run cleanly: no timer, socket or lease of it stays. It may be called twice, at the same time too, while the run
 * waits for its gateway, after it has ended or failed, and with nothing at all.
 *
 * @param run the run, or what `Runner.run` returned: one that is about to begin is ended when it has, and one that could
 * not begin has nothing to end
 */
async function shutdownRun(run: OnlineRun | Promise<OnlineRun> | undefined): Promise<void> {
  const begun = await Promise.resolve(run).catch(() => undefined);
  await begun?.stop();
}
