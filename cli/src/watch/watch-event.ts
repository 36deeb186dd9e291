/** How a run ended. */
export interface RunEnd {
  /** Exit code; undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal?: string;
  /** What the run printed as its result, when it was asked for JSON. */
  readonly result?: Readonly<Record<string, unknown>>;
  /** What the run printed as its failure, when it was asked for JSON. */
  readonly failure?: Readonly<Record<string, unknown>>;
}

/** What happens while a strategy is watched. `run` counts from 1; times are milliseconds since the epoch. */
export type WatchEvent =
  | { readonly kind: "run"; readonly run: number; readonly timeMs: number }
  | {
      readonly kind: "finished";
      readonly run: number;
      readonly tookMs: number;
      readonly end: RunEnd;
    }
  | { readonly kind: "changed"; readonly timeMs: number; readonly files: readonly string[] }
  | { readonly kind: "ended"; readonly run: number; readonly tookMs: number }
  | { readonly kind: "closed" };
