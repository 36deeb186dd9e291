import { QmtlError } from "@qmtl/sdk/rpc";
import type { RunnerListener } from "../feed/replay-feeds-ports.ts";
import type { RunnerStream } from "./runner-stream.ts";

/** Largest number of streams. */
const runnersMax = 1_024;

/** The streams of this gateway's runners, one per session. */
export class StreamRegistry implements RunnerListener {
  readonly #all = new Map<string, RunnerStream>();

  /** A session has attached; its stream before ends. @throws {QmtlError} TOO_MANY_REQUESTS. */
  add(runner: RunnerStream): void {
    const before = this.#all.get(runner.sessionId);
    if (before === undefined && this.#all.size >= runnersMax) {
      const message = `${runnersMax} runners are attached`;
      throw new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 1_000 });
    }
    this.#all.set(runner.sessionId, runner);
    before?.frames.fail(new QmtlError("CONFLICT", "the session has attached by another stream"));
  }

  /** A stream has ended. */
  remove(runner: RunnerStream): void {
    if (this.#all.get(runner.sessionId) === runner) this.#all.delete(runner.sessionId);
  }

  /** Ends all streams, because the gateway stops. */
  close(): void {
    const refusal = new QmtlError("DRAINING", "the gateway stops; attach again", {
      retryAfterMs: 500,
    });
    for (const runner of [...this.#all.values()]) runner.frames.fail(refusal);
  }

  dropped(sessionId: string): void {
    this.#all.get(sessionId)?.dropped();
  }

  takenBack(sessionId: string): void {
    this.#all.get(sessionId)?.takenBack();
  }

  restate(sessionIds: readonly string[]): void {
    for (const sessionId of sessionIds) this.#all.get(sessionId)?.restate();
  }
}
