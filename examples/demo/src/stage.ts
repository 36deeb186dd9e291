import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PlatformBooks, pause } from "./platform-books.ts";
import { demoDataFolder } from "./prepare-data.ts";
import { type LongCommand, QmtlCommand } from "./qmtl-command.ts";

/** Something the demo promises did not happen. */
export class DemoFailure extends Error {
  override readonly name = "DemoFailure";
}

/** Fails the demo unless the condition holds. */
export function demand(holds: boolean, what: string): asserts holds {
  if (!holds) throw new DemoFailure(what);
}

const folder = fileURLToPath(new URL("..", import.meta.url));
/** Date of the feed's first row; bar 0 of paper is 21 rows later. */
const FEED_START = "2015-01-02";
/** Where `qmtl up` answers with the demo's configuration. */
const GATEWAY_URL = "http://127.0.0.1:7400";
const DAY_MS = 86_400_000;
export const COMPUTE_ONLY_BARS = 21;

/** What all steps of the demo work with. */
export class Stage {
  readonly qmtl: QmtlCommand;
  readonly books = new PlatformBooks(GATEWAY_URL);
  readonly runners = new Map<string, LongCommand>();
  /** Strategy id by name. */
  readonly ids = new Map<string, string>();
  /** What the runners computed, by name; filled as they end. */
  readonly evaluations: [string, number][] = [];
  /** Dates of the feed, from its start. */
  readonly #dates: readonly string[];
  readonly #out: NodeJS.WritableStream;
  platform: LongCommand | undefined;

  constructor(out: NodeJS.WritableStream) {
    this.#out = out;
    this.qmtl = new QmtlCommand(`${folder}qmtl.yml`, folder);
    rmSync(`${folder}.qmtl/data`, { recursive: true, force: true });
    const rows = readFileSync(`${demoDataFolder}/feed.csv`, "utf8").trim().split("\n").slice(1);
    this.#dates = rows.map((row) => row.slice(0, 10)).filter((date) => date >= FEED_START);
  }

  say(line: string): void {
    this.#out.write(`${line}\n`);
  }

  /** Date of a bar counted from the first paper bar; negative ones are compute-only. */
  dateOf(paperBar: number): string {
    const date = this.#dates[COMPUTE_ONLY_BARS + paperBar];
    if (date === undefined) throw new Error(`the feed has no paper bar ${paperBar}`);
    return date;
  }

  get lastBar(): number {
    return this.#dates.length - COMPUTE_ONLY_BARS - 1;
  }

  /** Lets the feed run up to a bar and waits until everything of it is booked. */
  async advanceTo(paperBar: number): Promise<void> {
    const isLast = paperBar >= this.lastBar;
    await this.books.advance(isLast ? "end" : Date.parse(this.dateOf(paperBar)) + DAY_MS);
  }

  /** Polls until `look` returns a value; fails the demo with `what` after `timeoutMs`. */
  async until<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined>): Promise<T> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      demand(performance.now() < end, what);
      await pause();
    }
  }

  /** A file in the demo's folder. */
  path(file: string): string {
    return `${folder}${file}`;
  }

  idOf(name: string): string {
    const id = this.ids.get(name);
    if (id === undefined) throw new Error(`no strategy ${name}`);
    return id;
  }

  /** Ends every process the demo started. */
  async close(): Promise<void> {
    await Promise.all([...this.runners.values()].map((runner) => runner.end()));
    this.books.close();
    await this.platform?.end();
  }
}
