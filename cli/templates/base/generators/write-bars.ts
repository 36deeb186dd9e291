// node generators/write-bars.ts [--with-signal]: writes data/bars.csv unless it is there.
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { barsCsv, syntheticBars } from "./synthetic-bars.ts";

const file = join(import.meta.dirname, "..", "data", "bars.csv");

if (!existsSync(file)) {
  mkdirSync(dirname(file), { recursive: true });
  const signal = process.argv.includes("--with-signal");
  // Written to another file and renamed: a half-written file would be mistaken for the data.
  writeFileSync(`${file}.part`, barsCsv(syntheticBars(), { signal }));
  renameSync(`${file}.part`, file);
  console.log("made data/bars.csv: synthetic bars");
}
