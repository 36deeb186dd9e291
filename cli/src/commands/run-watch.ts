import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { printJson } from "../print.ts";
import { onStopSignal } from "../until-stopped.ts";
import { optionArgs } from "../watch/option-args.ts";
import { StrategyRuns } from "../watch/strategy-runs.ts";
import { watchReporter } from "../watch/watch-reporter.ts";
import { watchRuns } from "../watch/watch-runs.ts";
import { objectIn } from "../watch/watched-process.ts";

/** What the watcher itself needs of the options of `qmtl run`. */
interface WatchCommandOptions extends GlobalOptions {
  world?: string;
  record?: string;
}

/**
 * `qmtl run FILE --watch`: runs, and runs again in a fresh process whenever the strategy, a local module it loads, the
 * configuration or a data file it names changes. Ends with 0 on Ctrl-C, once the run under way has ended cleanly.
 */
export async function runWatch(file: string, command: Command): Promise<void> {
  const options = command.optsWithGlobals<WatchCommandOptions>();
  const { config } = options;
  const asJson = options.json === true;
  checkWatchable(file, options);
  using runs = new StrategyRuns({
    entry: resolve(file),
    config,
    args: ["run", ...optionArgs(command, ["watch"]), "--", file],
    asJson,
    endsAtOnce: options.world === undefined,
    onOutput: (line) =>
      objectIn(line) === undefined ? printJson({ event: "output", text: line }) : console.log(line),
    onErrorOutput: (line) => console.error(line),
    onProblem: (problem) =>
      console.error(asJson ? JSON.stringify({ event: "problem", problem }) : `problem: ${problem}`),
  });
  const tell = watchReporter({
    asJson,
    folder: process.cwd(),
    watched: () => runs.watched,
    print: (line) => console.log(line),
    note: (line) => console.error(line),
    makeRoom,
    clearLine: () => void (process.stderr.isTTY && process.stderr.write("\r\x1b[K")),
  });
  const { start, nextChange } = runs;
  const stopped = stopSignal(() => runs.stop());
  try {
    await watchRuns({ start, nextChange, tell, signal: stopped.signal, now: Date.now });
  } finally {
    stopped.release();
  }
}

function checkWatchable(file: string, { record, config }: WatchCommandOptions): void {
  if (record !== undefined)
    throw new CommandError(
      "--record holds one session, --watch makes many",
      ExitCode.usage,
      "leave out one of them",
    );
  if (!existsSync(file)) throw new CommandError(`no file ${file} to watch`);
  if (config !== undefined && !existsSync(config))
    throw new CommandError(`no configuration file ${config} to watch`);
}

/** Aborts on the first Ctrl-C, SIGTERM or hang-up; `onAgain` is called at every later one. */
function stopSignal(onAgain: () => void): { signal: AbortSignal; release: () => void } {
  const stopper = new AbortController();
  const release = onStopSignal(() => stopper.abort(), onAgain);
  return { signal: stopper.signal, release };
}

/** Clears a terminal by scrolling: what was printed so far moves into its history, and nothing is lost. */
function makeRoom(): void {
  const { isTTY, rows } = process.stdout;
  if (isTTY) process.stdout.write(`${"\n".repeat(rows)}\x1b[H\x1b[J`);
}
