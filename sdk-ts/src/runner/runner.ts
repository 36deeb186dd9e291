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
  /** Ends a run cleanly: no timer, socket or lease of it stays. May be called twice. */
  shutdown: (run: OnlineRun): Promise<void> => run.stop(),
} as const;
