import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { endWithUs } from "../../examples/demo/src/end-with-us.ts";
import type { OrderTimes } from "./order-stopwatch.ts";
import type { WaveShape } from "./wave-strategies.ts";

/** Which strategies a runner process runs, and where. */
export interface RunnerSetup {
  readonly configFile: string;
  readonly gatewayUrl: string;
  readonly worldId: string;
  /** One, or several that it runs as a worker. */
  readonly shapes: readonly WaveShape[];
}

/** What a runner process has done and used since it started. */
export interface RunnerReport {
  readonly times: OrderTimes;
  /** Processor time without the garbage collections that reports ask for, milliseconds. */
  readonly cpuMs: number;
  /** Resident memory of the process, bytes. */
  readonly rssBytes: number;
  /** Rows computed of nodes up to the target, sources included. */
  readonly evaluations: number;
  /** Mode of its first strategy. */
  readonly mode: string;
  /** Queues that it publishes, sources included. */
  readonly heldQueues: number;
}

const program = fileURLToPath(new URL("./strategy-runner.child.ts", import.meta.url));
/** Longest orderly end of a run, milliseconds. */
const endMsMax = 10_000;

/** A process that runs strategies, as users run them. */
export class RunnerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;

  /** Starts a process and waits until it is about to submit them. */
  static async start(setup: RunnerSetup): Promise<RunnerProcess> {
    const child = fork(program, [JSON.stringify(setup)], { execArgv: ["--expose-gc"] });
    endWithUs(child);
    const runner = new RunnerProcess(child);
    await runner.#next();
    return runner;
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  report(): Promise<RunnerReport> {
    const answer = this.#next<RunnerReport>();
    this.#child.send("report");
    return answer;
  }

  /** Heap and external memory after garbage collections, bytes. They drop compiled code, so what follows is slow again. */
  keptBytes(): Promise<number> {
    const answer = this.#next<number>();
    this.#child.send("kept");
    return answer;
  }

  /** The next message of the process; rejects if it ends before. */
  #next<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (code: number | null) => reject(new Error(`a runner ended with ${code}`));
      this.#child.once("exit", ended);
      this.#child.once("message", (message) => {
        this.#child.off("exit", ended);
        resolve(message as T);
      });
    });
  }

  /** Ends the run as its user would; kills the process if that takes too long. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), endMsMax);
      child.once("exit", () => {
        clearTimeout(timer);
        resolve();
      });
      child.send("stop");
    });
  }
}
