import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder the configuration of the demo reads from. */
export const demoDataFolder = fileURLToPath(new URL("../.qmtl/sp500", import.meta.url));

/** First bar of the feed; what is before it is history. */
const FEED_START = "2015-01-02";
const FEED_END = "2016-12-31";

export interface PreparedData {
  readonly historyFile: string;
  readonly feedFile: string;
  readonly historyRows: number;
  readonly feedRows: number;
}

interface Bar {
  readonly date: string;
  /** `date,open,high,low,close` as in the file. */
  readonly text: string;
  /** close ÷ open − 1. */
  readonly move: number;
}

/**
 * Writes the two files of the demo from the daily S&P 500 of the package vega-datasets.
 *
 * Both have a column `flow`. In the feed it is the move of the row's own bar, known when the bar closes. In the history
 * each row carries the move of the **next** bar: the fault strategy C was built on. Replaces what is there; the same
 * bytes each time.
 */
export async function prepareData(folder: string = demoDataFolder): Promise<PreparedData> {
  const bars = readBars(await readFile(packagedFile(), "utf8"));
  const history = bars.flatMap((bar, row) =>
    bar.date < FEED_START ? [`${bar.text},${bars[row + 1]?.move ?? ""}`] : [],
  );
  const feed = bars.flatMap((bar) => (bar.date <= FEED_END ? [`${bar.text},${bar.move}`] : []));
  await mkdir(folder, { recursive: true });
  const historyFile = join(folder, "history.csv");
  const feedFile = join(folder, "feed.csv");
  await writeWhole(historyFile, history);
  await writeWhole(feedFile, feed);
  return { historyFile, feedFile, historyRows: history.length, feedRows: feed.length };
}

/** The package offers its files to browsers only; on disk they lie in `data/`. */
function packagedFile(): string {
  const name = "vega-datasets";
  const entry = createRequire(import.meta.url).resolve(name);
  return join(entry.slice(0, entry.lastIndexOf(name) + name.length), "data", "sp500-2000.csv");
}

function readBars(csv: string): Bar[] {
  const [, ...lines] = csv.trim().split(/\r?\n/);
  return lines.map((line) => {
    const [date = "", open = "", high = "", low = "", close = ""] = line.split(",");
    const text = [date, open, high, low, close].join(",");
    return { date, text, move: Number(close) / Number(open) - 1 };
  });
}

/** A reader sees the old file or the new one, never half of one. */
async function writeWhole(path: string, rows: readonly string[]): Promise<void> {
  const draft = `${path}.${process.pid}.draft`;
  await writeFile(draft, `${["date,open,high,low,close,flow", ...rows].join("\n")}\n`);
  await rename(draft, path);
}
