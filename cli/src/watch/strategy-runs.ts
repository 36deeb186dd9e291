import { resolve } from "node:path";
import { loadConfig } from "@qmtl/sdk/config";
import { ChangeQueue } from "./change-queue.ts";
import type { RunEnd } from "./watch-event.ts";
import type { StartedRun } from "./watch-runs.ts";
import { WatchedFiles } from "./watched-files.ts";
import { startWatchedProcess, type WatchedProcessOptions } from "./watched-process.ts";

export interface StrategyRunsOptions extends Omit<WatchedProcessOptions, "onModule"> {
  /** As given with `--config`. */
  readonly config: string | undefined;
  readonly onProblem: (problem: string) => void;
}

/**
 * Runs of one strategy, each in a process of its own, and the files that the latest one depends on: the strategy, the
 * modules it loaded, the configuration and the data files.
 */
export class StrategyRuns implements Disposable {
  readonly #options: StrategyRunsOptions;
  readonly #changes = new ChangeQueue();
  readonly #files: WatchedFiles;
  #madeOf = new Set<string>();
  #current: StartedRun | undefined;

  constructor(options: StrategyRunsOptions) {
    this.#options = options;
    this.#files = new WatchedFiles({ onChange: this.#changes.put, onProblem: options.onProblem });
  }

  /** Number of files watched now. */
  get watched(): number {
    return this.#files.size;
  }

  readonly nextChange = (): Promise<readonly string[]> => this.#changes.next();

  readonly start = (): StartedRun => {
    const { entry, config } = this.#options;
    const before = this.#madeOf;
    const own = [entry, ...configFiles(config)];
    this.#madeOf = new Set(own);
    this.#changes.clear();
    this.#files.refresh(own);
    const { ended, stop } = startWatchedProcess({
      ...this.#options,
      onModule: ({ module, signature }) => {
        this.#madeOf.add(module);
        this.#files.add(module, signature);
      },
    });
    const end = ended.then((how) => this.#forget(before, how));
    this.#current = { ended: end, stop };
    return this.#current;
  };

  /** Asks the current run to end; a second call ends it at once. */
  stop(): void {
    this.#current?.stop();
  }

  [Symbol.dispose](): void {
    this.#files.close();
  }

  /** A run that failed may have loaded hardly anything: the files of the run before it are then kept. */
  #forget(before: ReadonlySet<string>, end: RunEnd): RunEnd {
    if (end.exitCode !== 0) this.#madeOf = new Set([...this.#madeOf, ...before]);
    this.#files.keepOnly(this.#madeOf);
    return end;
  }
}

/**
 * The configuration file and the data files it names, whether or not they exist; of an invalid one only itself.
 *
 * @param path as given with `--config`. @default `qmtl.yml` or `qmtl.yaml` of the working directory
 */
function configFiles(path: string | undefined): string[] {
  const own = (path === undefined ? ["qmtl.yml", "qmtl.yaml"] : [path]).map((name) =>
    resolve(name),
  );
  return [...own, ...dataFiles(path)];
}

function dataFiles(path: string | undefined): string[] {
  try {
    const { sources } = loadConfig({ path });
    return Object.values(sources).flatMap(({ file, history_file }) =>
      history_file === null ? [file] : [file, history_file],
    );
  } catch {
    return []; // the run says what is wrong with it
  }
}
