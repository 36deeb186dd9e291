import { drawdownCurve } from "@qmtl/core/metrics";
import { escapeHtml } from "./escape-html.ts";
import { formatFigure } from "./format-figure.ts";
import { type ChartLine, renderLineChart } from "./line-chart.ts";
import type { ReportCurve, ReportFigure, ReportStrategy } from "./report-data.ts";

/** Figures, equity and drawdown of one strategy. */
export function renderStrategy(strategy: ReportStrategy): string {
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
${drawdown}</section>`;
}

/** Figures as a row of name over value. */
export function renderFigures(figures: readonly ReportFigure[]): string {
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
