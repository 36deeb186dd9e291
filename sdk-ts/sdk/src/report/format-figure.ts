import type { ReportFigure } from "./report-data.ts";

/** Date of an instant, UTC. */
export function formatDay(timeMs: number): string {
  return isTime(timeMs) ? new Date(timeMs).toISOString().slice(0, 10) : "n/a";
}

/** Date and time of an instant to the second, UTC. */
export function formatInstant(timeMs: number): string {
  return isTime(timeMs)
    ? `${new Date(timeMs).toISOString().slice(0, 19).replace("T", " ")} UTC`
    : "n/a";
}

/** A number with `digits` decimals and thousands separated, from 1e12 on with an exponent; n/a when not finite. */
export function formatNumber(value: number | undefined, digits: number): string {
  if (value === undefined || !Number.isFinite(value)) {
    return "n/a";
  }
  if (Math.abs(value) >= 1e12) {
    return value.toExponential(3);
  }
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

export function formatFigure(figure: ReportFigure): string {
  const { value, format = "number" } = figure;
  if (format === "percent") {
    const text = formatNumber(value === undefined ? undefined : value * 100, 2);
    return text === "n/a" ? text : `${text} %`;
  }
  return formatNumber(value, format === "count" ? 0 : 4);
}

function isTime(timeMs: number): boolean {
  return Number.isFinite(timeMs) && Math.abs(timeMs) <= 8.64e15;
}
