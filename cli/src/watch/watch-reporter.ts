import { relative } from "node:path";
import type { RunEnd, WatchEvent } from "./watch-event.ts";

export interface WatchReporterOptions {
  readonly asJson: boolean;
  /** File names are printed relative to this folder. */
  readonly folder: string;
  /** How many files are watched. */
  readonly watched: () => number;
  /** Takes a line for standard output. */
  readonly print: (line: string) => void;
  /** Takes a line for standard error. */
  readonly note: (line: string) => void;
  /** Makes room on a terminal for a new run. */
  readonly makeRoom: () => void;
  /** Clears what a stopped run left in the last line of a terminal. */
  readonly clearLine: () => void;
}

/** Largest number of files named in one line. */
const namedMax = 3;

/**
 * Reports what happens while a strategy is watched: short lines on standard error, beside what the runs print; with
 * `asJson` one object per line, results included, all on standard output.
 */
export function watchReporter(options: WatchReporterOptions): (event: WatchEvent) => void {
  return options.asJson
    ? (event) => options.print(JSON.stringify(eventObject(event)))
    : (event) => printForPerson(event, options);
}

function eventObject(event: WatchEvent): Record<string, unknown> {
  switch (event.kind) {
    case "run":
      return { event: "run", run: event.run, time: new Date(event.timeMs).toISOString() };
    case "changed":
      return { event: "changed", time: new Date(event.timeMs).toISOString(), files: event.files };
    case "ended":
      return { event: "ended", run: event.run, took_ms: event.tookMs };
    case "closed":
      return { event: "closed" };
    case "finished": {
      const { exitCode, signal, result, failure } = event.end;
      const head = { run: event.run, took_ms: event.tookMs };
      if (exitCode === 0) return { event: "result", ...head, ...result };
      const error = failure?.error ?? failureText(event.end);
      return { event: "failed", ...head, exit_code: exitCode ?? null, signal, ...failure, error };
    }
  }
}

function printForPerson(event: WatchEvent, options: WatchReporterOptions): void {
  const { note, folder, watched } = options;
  if (event.kind === "changed") {
    options.makeRoom();
    note(`[watch ${clockTime(event.timeMs)}] changed: ${namesOf(event.files, folder)}`);
  } else if (event.kind === "ended") {
    options.clearLine();
  } else if (event.kind === "finished") {
    const how = event.end.exitCode === 0 ? "done" : `failed (${failureText(event.end)})`;
    const seconds = (event.tookMs / 1_000).toFixed(1);
    const files = `waiting for changes in ${watched()} files`;
    note(`[watch] ${how} in ${seconds} s; ${files}, Ctrl-C stops`);
  }
}

function failureText({ exitCode, signal }: RunEnd): string {
  return exitCode === undefined ? `ended by ${signal}` : `exit ${exitCode}`;
}

function namesOf(files: readonly string[], folder: string): string {
  const named = files.slice(0, namedMax).map((file) => relative(folder, file) || file);
  const more = files.length - named.length;
  return named.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Time of day in the local time zone. */
function clockTime(timeMs: number): string {
  return new Date(timeMs).toTimeString().slice(0, 8);
}
