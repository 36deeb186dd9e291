import { escapeHtml } from "./escape-html.ts";
import { formatInstant, formatNumber } from "./format-figure.ts";
import { renderTable } from "./html-table.ts";
import type {
  ReportData,
  ReportEvent,
  ReportFill,
  ReportPosition,
  ReportReuse,
} from "./report-data.ts";
import { REPORT_STYLE } from "./report-style.ts";
import { renderFigures, renderStrategy } from "./strategy-section.ts";

/**
 * A report as one self-contained HTML document: inline SVG and CSS, no script, nothing fetched (a content
 * security policy in the document forbids it). Every text is escaped. The same data give the same bytes.
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
    section("About the data", renderFacts(data.facts)),
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

function renderFacts(facts: readonly string[]): string {
  return `<ul>${facts.map((fact) => `<li>${escapeHtml(fact)}</li>`).join("")}</ul>`;
}
