import { availableParallelism, cpus, loadavg } from "node:os";
import type { BenchRow } from "./bench-row.ts";

/** What the figures were taken on: machine, then load averages of 1, 5 and 15 minutes. */
export function header(): [string, string] {
  const model = cpus()[0]?.model.trim() || "unknown processor";
  const loads = loadavg().map((load) => load.toFixed(2));
  return [
    `${availableParallelism()} cores, ${model}, ${process.platform} ${process.arch}, Node ${process.version}`,
    `load average ${loads.join(" ")}`,
  ];
}

/** One line: name, value, unit, samples, limit, share of the limit used. */
export function rowText(row: BenchRow): string {
  const figure = Number(row.value.toPrecision(4)).toLocaleString("en-US");
  const isLimited = !row.limit_name.startsWith("none");
  const mark = !isLimited ? "" : isWithin(row) ? "ok  " : "MISS";
  const share = isLimited ? `${(row.ratio_to_limit * 100).toFixed(0).padStart(4)} % of ` : "";
  return [
    row.name.padEnd(38),
    figure.padStart(10),
    row.unit.padEnd(24),
    `n=${row.samples}`.padEnd(7),
    mark,
    `${share}${row.limit_name}`,
  ]
    .join(" ")
    .trimEnd();
}

/** Rows beyond their limit. A figure that is not a number is a miss. */
export function missesOf(rows: readonly BenchRow[]): BenchRow[] {
  return rows.filter((row) => !isWithin(row));
}

const isWithin = ({ ratio_to_limit }: BenchRow): boolean => ratio_to_limit <= 1;
