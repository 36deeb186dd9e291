import { escapeHtml } from "./escape-html.ts";
import { formatDay, formatNumber } from "./format-figure.ts";

/** One line of a chart; NaN and ±∞ leave holes. */
export interface ChartLine {
  readonly name: string;
  readonly timesMs: ArrayLike<number>;
  readonly values: ArrayLike<number>;
}

export interface ChartOptions {
  readonly title: string;
  /** `percent` labels 0.25 as 25 %. */
  readonly format: "number" | "percent";
  /** `auto`: logarithmic when all values are above 0 and span more than 20-fold. */
  readonly scale: "linear" | "auto";
  /** About how many points are drawn per line, at most twice as many; each stretch keeps its extremes. @default 600 */
  readonly pointsMax?: number;
}

const WIDTH = 820;
const HEIGHT = 220;
const LEFT = 64;
const BOTTOM = 24;
const TOP = 10;
const LOG_SPAN = 20;
const TICKS = 4;

interface Extent {
  readonly timeMin: number;
  readonly timeMax: number;
  readonly valueMin: number;
  readonly valueMax: number;
  readonly isLog: boolean;
}

/** A line chart as inline SVG, coloured by CSS classes `line-0` … `line-5`. */
export function renderLineChart(lines: readonly ChartLine[], options: ChartOptions): string {
  const extent = extentOf(lines, options.scale);
  const label = escapeHtml(options.title);
  if (extent === undefined) {
    return `<figure><figcaption>${label}</figcaption><p>No values.</p></figure>`;
  }
  const paths = lines.map((line, index) => {
    const d = pathOf(thin(line, options.pointsMax ?? 600), extent);
    return `<path class="line line-${index % 6}" d="${d}"><title>${escapeHtml(line.name)}</title></path>`;
  });
  const legend = lines.map(
    ({ name }, index) => `<span class="key key-${index % 6}">${escapeHtml(name)}</span>`,
  );
  const scale = extent.isLog ? " (logarithmic)" : "";
  return `<figure><figcaption>${label}${scale} ${legend.join(" ")}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">${axes(extent, options.format)}${paths.join("")}</svg></figure>`;
}

function extentOf(lines: readonly ChartLine[], scale: "linear" | "auto"): Extent | undefined {
  let timeMin = Number.POSITIVE_INFINITY;
  let timeMax = Number.NEGATIVE_INFINITY;
  let valueMin = Number.POSITIVE_INFINITY;
  let valueMax = Number.NEGATIVE_INFINITY;
  for (const { timesMs, values } of lines) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      const time = timesMs[i] ?? Number.NaN;
      if (Number.isFinite(value) && Number.isFinite(time)) {
        timeMin = Math.min(timeMin, time);
        timeMax = Math.max(timeMax, time);
        valueMin = Math.min(valueMin, value);
        valueMax = Math.max(valueMax, value);
      }
    }
  }
  if (!Number.isFinite(timeMin)) {
    return undefined;
  }
  const isLog = scale === "auto" && valueMin > 0 && valueMax / valueMin > LOG_SPAN;
  return { timeMin, timeMax, valueMin, valueMax, isLog };
}

/** Keeps the first, lowest, highest and last point of each stretch, in their order, so that no spike is lost. */
function thin(line: ChartLine, pointsMax: number): [time: number, value: number][] {
  const length = Math.min(line.values.length, line.timesMs.length);
  const stretch = Math.max(1, Math.ceil((2 * length) / pointsMax));
  const points: [number, number][] = [];
  for (let start = 0; start < length; start += stretch) {
    const end = Math.min(length, start + stretch);
    let low = start;
    let high = start;
    for (let i = start; i < end; i++) {
      const value = line.values[i]!;
      if (Number.isNaN(value)) continue;
      // Negated, so that a value takes the place of NaN.
      if (!(line.values[low]! <= value)) low = i;
      if (!(line.values[high]! >= value)) high = i;
    }
    for (const i of new Set([start, Math.min(low, high), Math.max(low, high), end - 1])) {
      points.push([line.timesMs[i]!, line.values[i]!]);
    }
  }
  return points;
}

function pathOf(points: readonly [number, number][], extent: Extent): string {
  let path = "";
  let isPenUp = true;
  for (const [time, value] of points) {
    if (!Number.isFinite(value) || !Number.isFinite(time)) {
      isPenUp = true;
      continue;
    }
    path += `${isPenUp ? "M" : "L"}${xOf(time, extent).toFixed(1)} ${yOf(value, extent).toFixed(1)}`;
    isPenUp = false;
  }
  return path;
}

function xOf(time: number, { timeMin, timeMax }: Extent): number {
  return LEFT + ((time - timeMin) / (timeMax - timeMin || 1)) * (WIDTH - LEFT - 8);
}

function yOf(value: number, extent: Extent): number {
  const { valueMin, valueMax, isLog } = extent;
  const share = isLog
    ? Math.log(value / valueMin) / Math.log(valueMax / valueMin)
    : (value - valueMin) / (valueMax - valueMin || 1);
  return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
}

function axes(extent: Extent, format: "number" | "percent"): string {
  const { valueMin, valueMax, isLog, timeMin, timeMax } = extent;
  const parts: string[] = [];
  for (let i = 0; i <= TICKS; i++) {
    const share = i / TICKS;
    const value = isLog
      ? valueMin * (valueMax / valueMin) ** share
      : valueMin + (valueMax - valueMin) * share;
    const y = yOf(value, extent).toFixed(1);
    const text =
      format === "percent" ? `${formatNumber(value * 100, 1)} %` : formatNumber(value, 2);
    parts.push(
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - 8}" y1="${y}" y2="${y}"/><text x="${LEFT - 6}" y="${y}" class="left">${text}</text>`,
    );
  }
  const base = HEIGHT - 6;
  parts.push(`<text x="${LEFT}" y="${base}">${formatDay(timeMin)}</text>`);
  parts.push(`<text x="${WIDTH - 8}" y="${base}" class="left">${formatDay(timeMax)}</text>`);
  return parts.join("");
}
