import type { OnlineEvent, OnlineOptions } from "./online-run.ts";

/** Tells the caller of a run what happens. What the caller's own functions throw is a problem, and ends nothing. */
export class RunTeller {
  readonly #options: Pick<OnlineOptions, "onEvent" | "onProblem">;

  constructor(options: Pick<OnlineOptions, "onEvent" | "onProblem">) {
    this.#options = options;
  }

  /** @param row the row it happened at; left out, or negative, for none */
  event(kind: OnlineEvent["kind"], message: string, row = -1): void {
    try {
      this.#options.onEvent?.(row < 0 ? { kind, message } : { kind, message, row });
    } catch (error) {
      this.problem(`onEvent failed: ${String(error)}`);
    }
  }

  problem(problem: string): void {
    try {
      this.#options.onProblem?.(problem);
    } catch {
      // Nobody is left to be told.
    }
  }
}
