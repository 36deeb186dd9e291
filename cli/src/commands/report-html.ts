import type { AlphaPerformance } from "@qmtl/core/metrics";
import {
  type ReportData,
  type ReportExposure,
  type ReportFigure,
  type ReportFill,
  renderHtmlReport,
} from "@qmtl/sdk/platform";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { numbersOf, type ReportInput } from "./report-input.ts";
import { alphaMeanings, alphaMetrics } from "./report-markdown.ts";

/**
 * The HTML report of what `qmtl run --offline --json` printed.
 *
 * @param name of the file, for errors
 * @throws {CommandError} exit code 2 when the file holds less than such a report shows
 */
export function htmlReport(
  { fields }: ReportInput,
  performance: AlphaPerformance,
  name: string,
  madeAtMs: number,
): string {
  const lacking = ["strategy", "currency", "times_ms", "equity", "fill_list"].filter(
    (field) => !(field in fields),
  );
  if (lacking.length > 0)
    throw new CommandError(
      `an HTML report needs ${lacking.join(", ")}, which ${name} does not have`,
      ExitCode.usage,
      "use --out report.md, or a file that `qmtl run STRATEGY --offline --json` printed",
    );
  return renderHtmlReport(reportData(fields, performance, name, madeAtMs));
}

function reportData(
  fields: Readonly<Record<string, unknown>>,
  performance: AlphaPerformance,
  name: string,
  madeAtMs: number,
): ReportData {
  const strategy = String(fields.strategy);
  const timesMs = numbersOf(fields.times_ms, "times_ms", name);
  const equity = equityOf(fields.equity, name);
  if (timesMs.length !== equity.length)
    throw new CommandError(
      `${name}: times_ms has ${timesMs.length} values, equity ${equity.length}`,
    );
  const notes = Array.isArray(fields.notes) ? fields.notes.map(String) : [];
  return {
    title: `Backtest of ${strategy}`,
    madeAtMs,
    noCosts: fields.no_costs === true,
    currency: String(fields.currency),
    strategies: [
      {
        name: strategy,
        domain: "backtest",
        curve: { name: strategy, timesMs, equity },
        ...exposureOf(fields, timesMs, name),
        figures: alphaMetrics.map((metric): ReportFigure => {
          const isCount = metric === "samples";
          return { name: metric, value: performance[metric], ...(isCount && { format: "count" }) };
        }),
      },
    ],
    fills: fillsOf(fields.fill_list, strategy, name),
    positions: [],
    reuse: [],
    evaluations: [],
    timeline: [],
    notes: [
      ...notes,
      `alpha_performance.sharpe: ${alphaMeanings["alpha_performance.sharpe"]}.`,
      `Made from ${name}: positions, node reuse and evaluations are left out.`,
    ],
  };
}

/** Exposure over time, if the file has it. */
function exposureOf(
  fields: Readonly<Record<string, unknown>>,
  timesMs: readonly number[],
  name: string,
): { exposure?: ReportExposure } {
  if (!("gross" in fields)) return {};
  const column = (field: string): number[] => {
    const values = numbersOf(fields[field], field, name);
    if (values.length === timesMs.length) return values;
    throw new CommandError(
      `${name}: times_ms has ${timesMs.length} values, ${field} ${values.length}`,
    );
  };
  const [gross, net, largestWeight] = ["gross", "net", "largest_weight"].map(column);
  return { exposure: { timesMs, gross: gross!, net: net!, largestWeight: largestWeight! } };
}

/** Equity as numbers; holes, which JSON writes as null, become NaN. */
function equityOf(value: unknown, name: string): number[] {
  const isHole = (each: unknown): boolean => each === null;
  if (!Array.isArray(value) || !value.some(isHole)) return numbersOf(value, "equity", name);
  const filled = value.map((each: unknown) => (isHole(each) ? 0 : each));
  return numbersOf(filled, "equity", name).map((each, index) =>
    isHole(value[index]) ? Number.NaN : each,
  );
}

function fillsOf(value: unknown, strategy: string, name: string): ReportFill[] {
  if (!Array.isArray(value)) throw new CommandError(`${name}: fill_list must be a list`);
  return value.map((each: unknown, index) => {
    const fill = typeof each === "object" && each !== null ? each : {};
    const text = (field: string): string => {
      const found: unknown = Reflect.get(fill, field);
      if (typeof found === "string" || typeof found === "number") return String(found);
      throw new CommandError(`${name}: fill_list[${index}] has no ${field}`);
    };
    const number = (field: string): number =>
      numbersOf([Number(text(field))], `fill_list[${index}].${field}`, name)[0]!;
    return {
      timeMs: number("time_ms"),
      world: "offline",
      strategy,
      instrument: text("instrument"),
      quantity: text("side") === "sell" ? `-${text("quantity")}` : text("quantity"),
      price: number("price"),
      fee: number("fee"),
      origin: "target",
    };
  });
}
