import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import type { Stack } from "../harness/start-stack.ts";
import { StoryWorld } from "./story-world.ts";

const STARTS_MAX = 5;
const START_AGAIN_MS = 500;

/** One process of the platform: every call made in it ends when it dies, so that none reaches into the next one. */
export class Life implements AsyncDisposable {
  readonly world: StoryWorld;
  /** Aborts when the process has ended. */
  readonly ended: AbortSignal;
  readonly #connection: Connection;

  constructor(stack: Stack) {
    const end = new AbortController();
    const { process: child } = stack;
    if (child.exitCode !== null || child.signalCode !== null) end.abort();
    else child.once("exit", () => end.abort());
    this.ended = end.signal;
    this.#connection = connectTo(stack.gatewayUrl);
    this.world = new StoryWorld(this.#connection, this.ended);
  }

  /**
   * Kills the running process and starts the next one; undefined when that died at its failpoint while starting. A
   * start that fails otherwise is retried: another program may have had one of its ports for a moment.
   */
  static async next(stack: Stack, failpoint?: string): Promise<Life | undefined> {
    const env = failpoint === undefined ? {} : { QMTL_FAILPOINT: failpoint };
    for (let attempt = 1; ; attempt++) {
      try {
        await stack.restart(env);
        return new Life(stack);
      } catch (failure) {
        const isKilled = String(failure).includes("ended with null");
        if (isKilled && failpoint !== undefined) return undefined;
        if (attempt === STARTS_MAX) throw failure;
        await new Promise((resolve) => setTimeout(resolve, START_AGAIN_MS));
      }
    }
  }

  get isOver(): boolean {
    return this.ended.aborted;
  }

  /** Resolves at its end, or after `timeoutMs`. */
  end(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.isOver) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        this.ended.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.ended.addEventListener("abort", done);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
  }
}
