import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type PanelBar, syntheticPanel } from "./synthetic-panel.ts";

/** The files of this folder and their texts: the same every time. Run this file to write them. */
export function makeData(): ReadonlyMap<string, string> {
  const files = new Map([["sp500.csv", barsCsv(sp500Bars())]]);
  for (const [symbol, bars] of syntheticPanel()) {
    files.set(`${symbol.toLowerCase()}.csv`, barsCsv(bars));
  }
  return files;
}

/** Daily S&P 500 of the package vega-datasets, prices rounded to cents. */
function sp500Bars(): PanelBar[] {
  const [, ...lines] = readFileSync(packagedFile(), "utf8").trim().split(/\r?\n/);
  return lines.map((line) => {
    const [date = "", ...cells] = line.split(",");
    const [open = 0, high = 0, low = 0, close = 0] = cells.map(
      (cell) => Math.round(Number(cell) * 100) / 100,
    );
    return { date, open, high, low, close };
  });
}

/** The package offers its files to browsers only; on disk they lie in `data/`. */
function packagedFile(): string {
  const name = "vega-datasets";
  const entry = createRequire(import.meta.url).resolve(name);
  return join(entry.slice(0, entry.lastIndexOf(name) + name.length), "data", "sp500-2000.csv");
}

function barsCsv(bars: readonly PanelBar[]): string {
  const rows = bars.map(({ date, open, high, low, close }) =>
    [date, open, high, low, close].join(","),
  );
  return `${["date,open,high,low,close", ...rows].join("\n")}\n`;
}

if (import.meta.main) {
  for (const [name, text] of makeData()) writeFileSync(join(import.meta.dirname, name), text);
}
