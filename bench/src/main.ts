// npm run bench -- [filter] [--json FILE] [--check] [--strict]: figures beside their limits, taken in the same run.
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { benchGroups } from "./bench-groups.ts";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { header, missesOf, rowText } from "./print-rows.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "string" },
    check: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
  },
});
const filter = new RegExp(positionals[0] ?? "");
const out = (line: string): void => void process.stdout.write(`${line}\n`);
const rows: BenchRow[] = [];
const machine = header();
for (const line of machine) out(line);
const began = stopwatchMs();
const skipped: { readonly names: readonly string[]; readonly reason: string }[] = [];
for (const { names, run, whyNot } of benchGroups) {
  const asked = names.filter((name) => filter.test(name));
  if (asked.length === 0) continue;
  const reason = whyNot?.();
  if (reason !== undefined) {
    skipped.push({ names: asked, reason });
    out(`SKIPPED ${asked.join(", ")}: ${reason}`);
    continue;
  }
  for (const row of (await run()).filter(({ name }) => filter.test(name))) {
    rows.push(row);
    out(rowText(row));
  }
}
const left =
  skipped.length === 0 ? "" : `, ${skipped.flatMap(({ names }) => names).length} SKIPPED`;
out(
  `${rows.length} rows${left} in ${((stopwatchMs() - began) / 1e3).toFixed(0)} s; ${header()[1]}`,
);
if (values.json !== undefined)
  await writeFile(values.json, `${JSON.stringify({ machine, rows, skipped }, null, 2)}\n`);
if (values.check || values.strict) {
  const misses = missesOf(rows);
  out(misses.length === 0 ? "every row is within its limit" : "beyond their limit:");
  for (const row of misses) out(rowText(row));
  if (values.strict && misses.length > 0) process.exitCode = 1;
}
