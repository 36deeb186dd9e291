import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "@connectrpc/connect";
import {
  GatewayService,
  type SubmitStrategyRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import { makeIntentFirstNodeset } from "../../nodesets/index.ts";
import { column, Strategy, type StrategyFill, StreamInput, sma } from "../../strategy/index.ts";
import { FakeGateway, waitUntil } from "../../testing/index.ts";
import { Runner } from "../runner.ts";

const folder = mkdtempSync(join(tmpdir(), "offline-several-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a file with a bar every `stepHours` hours over 60 days, with or without weekends. */
function write(name: string, stepHours: number, skipWeekends: boolean): void {
  const lines = ["date,open,high,low,close"];
  for (let k = 0; k < (60 * 24) / stepHours; k++) {
    const at = new Date(Date.UTC(2020, 0, 1, k * stepHours));
    if (skipWeekends && [0, 6].includes(at.getUTCDay())) continue;
    const close = 100 + ((k * 7) % 23) + k / 10;
    lines.push([at.toISOString(), close - 1, close + 2, close - 3, close].join(","));
  }
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
}
write("day.csv", 24, true);
write("half.csv", 12, false);
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources:
  half: {file: half.csv, interval: 12h, start: 2020-02-20, periods_per_year: 730}
  day: {file: day.csv, interval: 1d, start: 2020-02-20}
instruments:
  X: {lot: "0.01", mark_source: day}
  Y: {lot: "1", mark_source: half}
accounts:
  main: {initial_cash: "10000", fee_bps: 10, half_spread_bps: 5, instruments: [X, Y]}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
// The same, but that Y begins when January has ended.
const [head, ...halves] = readFileSync(join(folder, "half.csv"), "utf8").split("\n");
const february = halves.filter((line) => line >= "2020-02-01");
writeFileSync(join(folder, "late.csv"), [head, ...february, ""].join("\n"));
writeFileSync(
  join(folder, "late.yml"),
  readFileSync(join(folder, "qmtl.yml"), "utf8").replace("half.csv", "late.csv"),
);

class Several extends Strategy {
  readonly told: string[] = [];

  override setup(): void {
    const of = (source: string, interval: string) =>
      column(new StreamInput({ source, columns: ["close"], interval }), "close");
    const thresholds = { longEnter: 112, longExit: 111.5 };
    const x = sma(of("day", "1d"), 2, { name: "x" });
    const y = sma(of("half", "12h"), 3, { name: "y" });
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: x,
        instrument: "X",
        thresholds,
        longWeight: 0.5,
        shortWeight: 0,
      }),
    );
    this.addNodeset(
      makeIntentFirstNodeset({
        signal: y,
        instrument: "Y",
        thresholds,
        longWeight: 0.25,
        shortWeight: 0,
        initialCash: 5_000,
        executionModel: { noCosts: true },
      }),
    );
  }
  override onSignal({ instrument, target }: { instrument: string; target: number }): void {
    this.told.push(`${instrument}=${target}`);
  }
  override onFill({ instrument, side }: StrategyFill): void {
    this.told.push(`${side} ${instrument}`);
  }
}

describe("an offline run of several targets", () => {
  test("trades each in its instrument, on one account, and tells of each in order", async () => {
    const strategy = new Several();
    const report = join(folder, "report.html");
    const result = await Runner.offline(strategy, { config, report, now: () => 0 });

    expect(result.instruments).toMatchObject([
      { instrument: "X", markSource: "day", bars: 36 },
      { instrument: "Y", markSource: "half", bars: 100, costs: { fees: 0, spread: 0 } },
    ]);
    for (const one of result.instruments) {
      const own = result.fills.filter(({ instrument }) => instrument === one.instrument);
      expect(own).toHaveLength(one.fills);
      expect(one.fills).toBeGreaterThan(0);
      const held = own.reduce(
        (sum, { side, quantity }) => sum + (side === "buy" ? 1 : -1) * Number(quantity),
        0,
      );
      expect(held).toBeCloseTo(Number(one.quantity), 9);
    }
    const [x] = result.instruments;
    expect(result.costs.fees).toBe(x!.costs.fees);
    expect(result.equity[0]).toBe(5_000);
    const gains = result.instruments.map(
      ({ realisedPnl, unrealisedPnl, costs }) => realisedPnl + unrealisedPnl - costs.fees,
    );
    expect(result.equity.at(-1)).toBeCloseTo(5_000 + gains[0]! + gains[1]!, 6);
    expect(result.noCosts).toBe(true);

    const told = strategy.told.filter((one) => one.includes("X"));
    expect(told.slice(0, 4)).toEqual(["X=0.5", "buy X", "X=0", "sell X"]);
    const changes = strategy.told.filter((one) => one.includes("="));
    expect(changes).toHaveLength(result.afterTarget.targetChanges);

    const html = readFileSync(report, "utf8");
    expect(html).toContain("buy and hold, equal weights");
    for (const { instrument, quantity } of result.instruments) {
      expect(html).toContain(`<td>${instrument}</td><td class="num">${quantity}</td>`);
    }
  });

  test("marks at every bar's end, takes a return per longest interval over all of the run, and says so", async () => {
    const result = await Runner.offline(Several, { config });

    expect(result.timesMs).toHaveLength(100); // every day ends with a half-day bar
    expect(result.returns).toMatchObject({ intervalSeconds: 86_400, periodsPerYear: 365 });
    expect(result.returns.samples).toBe(50); // weekends, too: Y is traded on them
    expect(result.markReturns.returns).toHaveLength(99);
    expect(result.metrics.get("total_return")).toBeCloseTo(
      result.equity.at(-1)! / result.equity[0]! - 1,
      12,
    );
    expect(result.buyAndHold.orders).toBe(2);
    expect(result.buyAndHold.returns.samples).toBe(50);
    expect(result.notes).toEqual(
      expect.arrayContaining([
        expect.stringContaining("36 bars of X"),
        expect.stringContaining("100 bars of Y"),
        expect.stringContaining("Y: No costs"),
        "Ratios take one return per 1d, at the last bar that ends in it; total return and drawdown are of every bar.",
        "Buy and hold buys X, Y once, at equal weights.",
      ]),
    );
  });

  test("goes without an instrument that is listed after it or was delisted before, and says so", async () => {
    const of = (range: { readonly from?: string; readonly until?: string }) =>
      Runner.offline(Several, { config: withLate, ...range });
    const withLate = loadConfig({ path: join(folder, "late.yml"), env: {} });

    const early = await of({ until: "2020-01-31" });
    expect(early.instruments).toMatchObject([
      { instrument: "X", bars: 23, warmupRows: 0 },
      { instrument: "Y", bars: 0, warmupRows: 0, orders: 0, quantity: "0" },
    ]);
    expect(early.instruments[0]!.fills).toBeGreaterThan(0);
    expect(early.buyAndHold.orders).toBe(1);
    expect(early.timesMs).toHaveLength(23);
    const [note, ...others] = early.notes.filter((one) => one.includes("Y"));
    expect(others).toEqual([]);
    expect(note).toBe(
      'Y is not traded in this run: source "half" has no bar between from and until: its first bar ends after until.',
    );
    await expect(of({ from: "2021-01-01", until: "2021-02-01" })).rejects.toMatchObject({
      reason: "RANGE_EMPTY",
    });
  });

  test("in a world hands its returns in, under the share of capital it may ask for", async () => {
    const gateway = new FakeGateway();
    const submitted: SubmitStrategyRequest[] = [];
    const { client } = gateway.connection();
    const real = client(GatewayService);
    const watched: Client<typeof GatewayService> = {
      ...real,
      submitStrategy: (request, options) => {
        submitted.push(request as SubmitStrategyRequest);
        return real.submitStrategy(request, options);
      },
    };
    const connection: ReturnType<FakeGateway["connection"]> = {
      client: (service) =>
        (service.typeName === GatewayService.typeName ? watched : client(service)) as Client<
          typeof service
        >,
    };
    const problems: string[] = [];
    const run = await Runner.run(Several, {
      worldId: "w1",
      config,
      connection,
      onProblem: (problem) => problems.push(problem),
    });
    await waitUntil(() => submitted.length > 0, "the submission");
    await run.stop();

    const offline = await Runner.offline(Several, { config });
    const { backtest, targets } = submitted[0]!;
    expect(targets.map(({ maxWeight }) => maxWeight)).toEqual([0.5, 0.25]);
    const domain = ExecutionDomain.BACKTEST;
    expect(backtest).toMatchObject({ interval: { seconds: 86_400n }, domain });
    expect(backtest!.returns).toHaveLength(99);
    const { returns, endsMs } = offline.markReturns;
    expect(backtest!.returns).toEqual([...Float64Array.from(returns)]);
    expect(backtest!.bucketEndMs).toEqual([...Float64Array.from(endsMs)]);
    expect(problems.join()).not.toContain("no backtest");
  });
});
