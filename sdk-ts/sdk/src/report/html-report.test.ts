import fc from "fast-check";
import { expect, test } from "vitest";
import { escapeHtml } from "./escape-html.ts";
import { renderHtmlReport } from "./html-report.ts";
import type { ReportData } from "./report-data.ts";

const DAY = 86_400_000;

function report(more: Partial<ReportData> = {}): ReportData {
  const timesMs = Array.from({ length: 3_000 }, (_, i) => i * DAY);
  const equity = timesMs.map((_, i) => (i === 1_500 ? 400 : 1_000 + i));
  const place = { world: "w", strategy: "A", instrument: "SPX" };
  return {
    title: "Demo",
    madeAtMs: 0,
    noCosts: false,
    currency: "USD",
    strategies: [
      {
        name: "A",
        domain: "paper",
        curve: { name: "A", timesMs, equity },
        hold: { name: "hold", timesMs, equity: equity.map((value) => value * 2) },
        figures: [
          { name: "Sharpe", value: 0.6125, note: "annualised, 252" },
          { name: "Max drawdown", value: 0.1457, format: "percent" },
          { name: "Shortfall", value: undefined },
        ],
      },
    ],
    fills: [1, 2, 3].map((n) => ({
      timeMs: n * DAY,
      ...place,
      quantity: `-${n}.5`,
      price: 2_127.83,
      fee: 1,
      origin: "target",
    })),
    positions: [
      { ...place, quantity: "61.1", averageCost: 1, mark: 2, realisedPnl: 0, unrealisedPnl: 3 },
    ],
    reuse: [
      { strategy: "A", nodes: 7, created: 7, reused: 0 },
      { strategy: "B", nodes: 7, created: 3, reused: 4 },
    ],
    evaluations: [{ name: "Node evaluations", value: 5_295, format: "count" }],
    timeline: [{ timeMs: DAY, kind: "decision", title: "C demoted", detail: "shortfall 9.03 > 3" }],
    notes: ["It is a price index: no dividends."],
    ...more,
  };
}

test("shows every part, n/a for what is missing, and totals of reuse", () => {
  const html = renderHtmlReport(report());

  for (const text of [
    "0.6125",
    "14.57 %",
    "<dd>n/a</dd>",
    "annualised, 252",
    "1970-01-02 00:00:00 UTC",
    "shortfall 9.03 &gt; 3",
    "29 %",
    "5,295",
    "no dividends",
    "2,127.83",
    "61.1",
    "Drawdown",
  ]) {
    expect(html).toContain(text);
  }
  expect(html).not.toContain("NaN");
  expect(html).not.toContain("No costs");
});

test("is one file that fetches nothing and runs nothing", () => {
  const html = renderHtmlReport(report());

  expect(html).not.toMatch(/<script|<link|<img|@import|url\(|https?:|\son\w+=/i);
  expect(html).toContain("default-src 'none'");
  expect(html).toContain("prefers-color-scheme:dark");
});

test("keeps the one-bar spike when it thins a long curve", () => {
  const html = renderHtmlReport(report());

  expect(html).toMatch(/-84\.0 %/);
  expect(html.length).toBeLessThan(120_000);
});

test("keeps the one-bar spike behind a hole in the curve", () => {
  const timesMs = Array.from({ length: 3_000 }, (_, i) => i * DAY);
  const equity = timesMs.map((_, i) => (i === 1_501 ? 400 : i % 10 === 0 ? Number.NaN : 1_000));
  const curve = { name: "A", timesMs, equity };
  const [strategy] = report().strategies;
  const html = renderHtmlReport(report({ strategies: [{ ...strategy!, curve }] }));

  const lowest = (path: string) =>
    Math.max(...[...path.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y)));
  const drawn = [...html.matchAll(/<path class="line line-0" d="([^"]*)"/g)];
  // The point of the spike, where the axis ends.
  expect(drawn.map(([, path = ""]) => lowest(path))).toContain(196);
});

test("stamps a report without costs and limits the fills shown, saying so", () => {
  const html = renderHtmlReport(report({ noCosts: true, fillsShownMax: 2 }));

  expect(html).toContain("No costs");
  expect(html).toContain("3 fills, fees 3.00; the latest 2 are shown");
  expect(html).not.toContain('<td class="num">-1.5</td>');
});

test("an empty report is still a document", () => {
  const html = renderHtmlReport(
    report({ strategies: [], fills: [], positions: [], reuse: [], timeline: [], notes: [] }),
  );

  expect(html).toContain("None.");
  expect(html.trimEnd().endsWith("</html>")).toBe(true);
});

test("a curve without values or with holes draws what there is", () => {
  const [one] = report().strategies;
  const curve = { name: "x", timesMs: [0, DAY, 2 * DAY, 3 * DAY], equity: [1, Number.NaN, 2, 3] };
  const none = { name: "y", timesMs: [], equity: [] };

  const html = renderHtmlReport(
    report({
      strategies: [
        { ...one!, curve },
        { ...one!, curve: none, hold: none },
      ],
    }),
  );

  expect(html).toContain("No values.");
  expect(html).not.toContain("NaN");
});

test("no text escapes into markup, wherever it stands", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 20 }), (noise) => {
      const evil = `<b>"'${noise}</b>`;
      const [one] = report().strategies;
      const place = { world: evil, strategy: evil, instrument: evil };
      const html = renderHtmlReport(
        report({
          title: evil,
          currency: evil,
          notes: [evil],
          reuse: [{ strategy: evil, nodes: 0, created: 0, reused: 0 }],
          timeline: [{ timeMs: Number.NaN, kind: "note", title: evil, detail: evil }],
          positions: [{ ...report().positions[0]!, ...place, quantity: evil }],
          fills: [{ ...report().fills[0]!, ...place, quantity: evil, origin: evil }],
          evaluations: [{ name: evil, value: 1, note: evil }],
          strategies: [
            {
              ...one!,
              name: evil,
              domain: evil,
              curve: { name: evil, timesMs: [0, 1], equity: [1, 2] },
              figures: [{ name: evil, value: 1, note: evil }],
            },
          ],
        }),
      );

      expect(html).not.toContain("<b>");
      expect(escapeHtml(evil)).not.toMatch(/[<>"']/);
    }),
    { seed: 1, numRuns: 60 },
  );
});
