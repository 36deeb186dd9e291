import { writeFile } from "node:fs/promises";
import type { OfflineResult } from "@qmtl/sdk";
import { type ReportEvent, renderHtmlReport, reportOf } from "@qmtl/sdk/platform";
import type { StoryName } from "./expected-figures.ts";
import { type JournalLine, PaperCurves } from "./paper-curves.ts";
import { demand, type Stage } from "./stage.ts";

interface AuditLine {
  readonly type: string;
  readonly create_time: string;
  readonly body_json: string;
}

const FILE = ".qmtl/report.html";

/** Step 8: one self-contained HTML file, made from the backtests, the journal and the audit alone. */
export async function writeReport(
  stage: Stage,
  backtests: ReadonlyMap<StoryName, OfflineResult>,
): Promise<void> {
  const journal = await stage.qmtl.lines<JournalLine>("journal", "main");
  const audit = await stage.qmtl.lines<AuditLine>("world", "audit", "demo");
  const paper = new PaperCurves(journal);
  const nameOf = (id: string): string =>
    [...stage.ids].find(([, known]) => known === id)?.[0] ?? id;
  const [first] = backtests.values();
  demand(first !== undefined, "there are backtests");
  const base = reportOf(first, Date.now());
  const path = stage.path(FILE);
  const html = renderHtmlReport({
    ...base,
    title: "QMTL demo: three strategies from backtest to paper",
    strategies: [
      ...[...backtests.values()].flatMap((result) => reportOf(result, base.madeAtMs).strategies),
      ...[...stage.ids].map(([name, id]) => ({
        name,
        domain: "paper",
        curve: { name, ...paper.curveOf(id) },
        figures: [],
      })),
    ],
    fills: paper.fills.map((fill) => ({
      timeMs: fill.timeMs,
      world: "demo",
      strategy: nameOf(fill.strategyId),
      instrument: "SPX",
      quantity: fill.quantity.toFixed(1),
      price: fill.price,
      fee: fill.fee,
      origin: fill.origin,
    })),
    positions: [...stage.ids].map(([name, id]) => {
      const { quantity, mark } = paper.holdingOf(id);
      const averageCost = Number.NaN;
      const place = {
        world: "demo",
        strategy: name,
        instrument: "SPX",
        quantity: quantity.toFixed(1),
      };
      return { ...place, averageCost, mark, realisedPnl: Number.NaN, unrealisedPnl: Number.NaN };
    }),
    reuse: [
      { strategy: "trend", nodes: 7, created: 7, reused: 0 },
      { strategy: "swing", nodes: 7, created: 3, reused: 4 },
      { strategy: "flow", nodes: 7, created: 3, reused: 4 },
    ],
    evaluations: stage.evaluations.map(([name, value]) => ({
      name,
      value,
      format: "count" as const,
    })),
    timeline: audit.map(eventOf),
  });
  await writeFile(path, html);
  demand(
    html.length > 10_000 && !/https?:\/\/(?!www\.w3\.org)/.test(html),
    "the report stands alone",
  );
  stage.say(`report: ${path}`);
}

function eventOf({ type, create_time, body_json }: AuditLine): ReportEvent {
  const kinds: Readonly<Record<string, ReportEvent["kind"]>> = {
    apply_phase: "apply",
    evaluated: "decision",
    decision_set: "decision",
    world_allocation_upserted: "rebalance",
  };
  return {
    timeMs: Date.parse(create_time),
    kind: kinds[type] ?? "note",
    title: type,
    detail: body_json.slice(0, 200),
  };
}
