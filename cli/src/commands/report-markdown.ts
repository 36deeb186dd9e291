import type { AlphaPerformance } from "@qmtl/core/metrics";

type Metric = keyof AlphaPerformance;

/** What each alpha metric is, for people. */
export const alphaMeanings: Readonly<Record<Metric, string>> = {
  "alpha_performance.sharpe":
    "mean excess return ÷ population standard deviation (n), per bar, not annualised; sharpe_per_bar of a run has the sample deviation (n − 1)",
  "alpha_performance.max_drawdown": "deepest fall of the summed returns, 0 or below",
  "alpha_performance.win_ratio": "share of returns above 0",
  "alpha_performance.profit_factor": "sum of gains ÷ sum of losses",
  "alpha_performance.car_mdd": "compounded return ÷ largest drawdown",
  "alpha_performance.rar_mdd": "alpha_performance.sharpe ÷ largest drawdown",
  samples: "returns",
};

/** Every alpha metric, in the order in which they are reported. */
export const alphaMetrics = Object.keys(alphaMeanings) as readonly Metric[];

export interface MarkdownReport {
  readonly title: string;
  readonly performance: AlphaPerformance;
  readonly riskFree: number;
  readonly transactionCost: number;
}

/** The alpha metrics as a Markdown document with one table. The same figures give the same bytes. */
export function markdownReport(report: MarkdownReport): string {
  const { title, performance, riskFree, transactionCost } = report;
  const rows = alphaMetrics.map(
    (metric) => `| ${metric} | ${figure(performance[metric])} | ${alphaMeanings[metric]} |`,
  );
  return `# Performance of ${escaped(title)}

Risk-free rate ${riskFree} and transaction cost ${transactionCost}, both per bar.

| Metric | Value | Meaning |
|---|---:|---|
${rows.join("\n")}
`;
}

/** Six significant digits; ∞ where nothing was lost, none where nothing was left. */
function figure(value: number): string {
  if (Number.isNaN(value)) return "none: nothing was left";
  if (Number.isFinite(value)) return String(Number(value.toPrecision(6)));
  return value > 0 ? "∞" : "-∞";
}

/** A name as plain text of Markdown. */
function escaped(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(/[\\`*_[\]<>|#]/g, "\\$&");
}
