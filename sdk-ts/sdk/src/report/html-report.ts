import { drawdownCurve } from "@qmtl/core/metrics";
import { escapeHtml } from "./escape-html.ts";
import { formatFigure, formatInstant, formatNumber } from "./format-figure.ts";
import { type ChartLine, renderLineChart } from "./line-chart.ts";
import type {
  ReportCurve,
  ReportData,
  ReportEvent,
  ReportExposure,
  ReportFigure,
  ReportFill,
  ReportPosition,
  ReportReuse,
  ReportStrategy,
} from "./report-data.ts";

/**
 * A report as one self-contained HTML document: inline SVG and CSS, no script, nothing fetched (a content
 * security policy in the document forbids it). Every text is escaped. The same data gives the same bytes.
 */
export function renderHtmlReport(data: ReportData): string {
  const stamp = data.noCosts
    ? '<p class="stamp">No costs: fees and spreads were left out of these figures.</p>'
    : "";
  const sections = [
    section("Strategies", data.strategies.map(renderStrategy).join("\n") || "<p>None.</p>"),
    section("Timeline", renderTimeline(data.timeline)),
    section("Positions", renderPositions(data.positions)),
    section("Fills", renderFills(data)),
    section("Node reuse", renderReuse(data.reuse)),
    section("Evaluations", renderFigures(data.evaluations)),
    section("About the data", renderNotes(data.notes)),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(data.title)}</title><style>${REPORT_STYLE}</style></head>
<body><h1>${escapeHtml(data.title)}</h1>
<p><small>Made ${formatInstant(data.madeAtMs)}; money in ${escapeHtml(data.currency)}.</small></p>
${stamp}
${sections.join("\n")}
</body></html>
`;
}

function section(title: string, body: string): string {
  return `<section><h2>${escapeHtml(title)}</h2>\n${body}</section>`;
}

function renderTimeline(events: readonly ReportEvent[]): string {
  return renderTable(events, [
    { title: "When", text: (event) => formatInstant(event.timeMs) },
    { title: "What", text: (event) => event.kind },
    { title: "", text: (event) => event.title },
    { title: "Detail", text: (event) => event.detail ?? "" },
  ]);
}

function renderPositions(positions: readonly ReportPosition[]): string {
  return renderTable(positions, [
    { title: "World", text: (row) => row.world },
    { title: "Strategy", text: (row) => row.strategy },
    { title: "Instrument", text: (row) => row.instrument },
    { title: "Quantity", text: (row) => row.quantity, isNumber: true },
    { title: "Average cost", text: (row) => formatNumber(row.averageCost, 2), isNumber: true },
    { title: "Mark", text: (row) => formatNumber(row.mark, 2), isNumber: true },
    { title: "Realised", text: (row) => formatNumber(row.realisedPnl, 2), isNumber: true },
    { title: "Unrealised", text: (row) => formatNumber(row.unrealisedPnl, 2), isNumber: true },
  ]);
}

function renderFills(data: ReportData): string {
  const shown = data.fills.slice(-Math.max(1, data.fillsShownMax ?? 500));
  const fees = data.fills.reduce((sum, fill) => sum + fill.fee, 0);
  const count = `<p>${data.fills.length} fills, fees ${formatNumber(fees, 2)}${
    shown.length < data.fills.length ? `; the latest ${shown.length} are shown` : ""
  }.</p>`;
  return (
    count +
    renderTable<ReportFill>(shown, [
      { title: "When", text: (fill) => formatInstant(fill.timeMs) },
      { title: "World", text: (fill) => fill.world },
      { title: "Strategy", text: (fill) => fill.strategy },
      { title: "Instrument", text: (fill) => fill.instrument },
      { title: "Quantity", text: (fill) => fill.quantity, isNumber: true },
      { title: "Price", text: (fill) => formatNumber(fill.price, 2), isNumber: true },
      { title: "Fee", text: (fill) => formatNumber(fill.fee, 2), isNumber: true },
      { title: "Origin", text: (fill) => fill.origin },
    ])
  );
}

function renderReuse(reuse: readonly ReportReuse[]): string {
  const share = (row: ReportReuse): string =>
    row.nodes > 0 ? `${formatNumber((100 * row.reused) / row.nodes, 0)} %` : "n/a";
  const total = reuse.reduce(
    (sum, row) => ({
      strategy: "all",
      nodes: sum.nodes + row.nodes,
      created: sum.created + row.created,
      reused: sum.reused + row.reused,
    }),
    { strategy: "all", nodes: 0, created: 0, reused: 0 },
  );
  return renderTable(reuse.length > 1 ? [...reuse, total] : reuse, [
    { title: "Strategy", text: (row) => row.strategy },
    { title: "Nodes", text: (row) => String(row.nodes), isNumber: true },
    { title: "New", text: (row) => String(row.created), isNumber: true },
    { title: "Reused", text: (row) => String(row.reused), isNumber: true },
    { title: "Share reused", text: share, isNumber: true },
  ]);
}

function renderNotes(notes: readonly string[]): string {
  return `<ul>${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;
}

/** A column of a table over rows of `T`; cell texts are escaped. */
interface HtmlColumn<T> {
  readonly title: string;
  readonly text: (row: T) => string;
  /** Aligned right. @default false */
  readonly isNumber?: boolean;
}

/** A table, or a sentence when there are no rows. */
function renderTable<T>(rows: readonly T[], columns: readonly HtmlColumn<T>[]): string {
  if (rows.length === 0) {
    return "<p>None.</p>";
  }
  const classOf = (column: HtmlColumn<T>): string => (column.isNumber ? ' class="num"' : "");
  const head = columns
    .map((column) => `<th scope="col"${classOf(column)}>${escapeHtml(column.title)}</th>`)
    .join("");
  const body = rows
    .map((row) => {
      const cells = columns.map(
        (column) => `<td${classOf(column)}>${escapeHtml(column.text(row))}</td>`,
      );
      return `<tr>${cells.join("")}</tr>`;
    })
    .join("\n");
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

/** The report's only style sheet: system fonts, follows the reader's light or dark setting. */
const REPORT_STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#5b6672;--paper:#fff;--rule:#d7dde3;--l0:#1f6feb;--l1:#8a94a0;--l2:#b5482a;--l3:#2c8a57;--l4:#7d4cc2;--l5:#a97a00}
@media (prefers-color-scheme:dark){:root{--ink:#e4e9ee;--dim:#98a4b0;--paper:#14181d;--rule:#313a44;--l0:#6ea8ff;--l1:#9aa6b2;--l2:#f08a68;--l3:#5fc48d;--l4:#b692f0;--l5:#e0b44a}}
body{margin:0 auto;max-width:900px;padding:24px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1,h2,h3{line-height:1.25}h2{margin-top:2.2em;border-bottom:1px solid var(--rule)}small{color:var(--dim);font-weight:400}
.stamp{border:2px solid var(--l2);padding:4px 10px;display:inline-block;font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:3px 8px;border-bottom:1px solid var(--rule)}
.num{text-align:right;font-variant-numeric:tabular-nums}
.figures{display:flex;flex-wrap:wrap;gap:6px 22px}.figures dt{color:var(--dim);font-size:13px}.figures dd{margin:0;font-variant-numeric:tabular-nums}
figure{margin:14px 0}figcaption{font-size:13px;color:var(--dim)}svg{width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}svg .left{text-anchor:end;dominant-baseline:middle}
.grid{stroke:var(--rule)}.line{fill:none;stroke-width:1.4}
.line-0{stroke:var(--l0)}.line-1{stroke:var(--l1)}.line-2{stroke:var(--l2)}.line-3{stroke:var(--l3)}.line-4{stroke:var(--l4)}.line-5{stroke:var(--l5)}
.key{margin-left:8px}.key-0{color:var(--l0)}.key-1{color:var(--l1)}.key-2{color:var(--l2)}.key-3{color:var(--l3)}.key-4{color:var(--l4)}.key-5{color:var(--l5)}
`;

/** Figures, equity and drawdown of one strategy. */
function renderStrategy(strategy: ReportStrategy): string {
  const curves = [strategy.curve, ...(strategy.hold === undefined ? [] : [strategy.hold])];
  const equity = renderLineChart(curves.map(relative), {
    title: "Equity, start = 1",
    format: "number",
    scale: "auto",
  });
  const drawdown = renderLineChart(curves.map(drawdownOf), {
    title: "Drawdown",
    format: "percent",
    scale: "linear",
  });
  return `<section><h3>${escapeHtml(strategy.name)} <small>${escapeHtml(strategy.domain)}</small></h3>
${renderFigures(strategy.figures)}
${equity}
${drawdown}${strategy.exposure === undefined ? "" : `\n${renderExposure(strategy.exposure)}`}</section>`;
}

function renderExposure({ timesMs, gross, net, largestWeight }: ReportExposure): string {
  const lines = [
    { name: "gross", timesMs, values: gross },
    { name: "net", timesMs, values: net },
    { name: "largest weight", timesMs, values: largestWeight },
  ];
  return renderLineChart(lines, {
    title: "Exposure, share of the equity",
    format: "percent",
    scale: "linear",
  });
}

/** Figures as a row of name over value. */
function renderFigures(figures: readonly ReportFigure[]): string {
  const items = figures.map((figure) => {
    const note = figure.note === undefined ? "" : ` <small>${escapeHtml(figure.note)}</small>`;
    return `<div><dt>${escapeHtml(figure.name)}${note}</dt><dd>${formatFigure(figure)}</dd></div>`;
  });
  return `<dl class="figures">${items.join("")}</dl>`;
}

function relative({ name, timesMs, equity }: ReportCurve): ChartLine {
  const values = Float64Array.from(equity);
  const start = values.find((value) => Number.isFinite(value) && value !== 0) ?? 1;
  return { name, timesMs, values: values.map((value) => value / start) };
}

function drawdownOf({ name, timesMs, equity }: ReportCurve): ChartLine {
  return { name, timesMs, values: drawdownCurve(equity).map((value) => -value) };
}
