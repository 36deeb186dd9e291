import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import { type IntentFirstOptions, makeIntentFirstNodeset } from "../../nodesets/index.ts";
import { column, Strategy, StreamInput } from "../../strategy/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { findMarket, type OfflineMarket } from "./market.ts";
import { compileOfflineOptions, type OfflineOptions } from "./offline-options.ts";

const folder = mkdtempSync(join(tmpdir(), "offline-market-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources:
  day: {file: day.csv, interval: 1d}
  night: {file: night.csv, interval: 1h}
instruments:
  X: {mark_source: day}
  Y: {mark_source: night}
  Z: {mark_source: night, quote_currency: EUR}
  FREE: {mark_source: day}
  FREER: {mark_source: night, quote_currency: EUR}
accounts:
  first: {initial_cash: "500", fee_bps: 3, half_spread_bps: 4, instruments: [X]}
  both: {initial_cash: "700", fee_bps: 5, half_spread_bps: 6, instruments: [Y, X]}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });

type Wanted = Pick<IntentFirstOptions, "instrument"> & Partial<IntentFirstOptions>;

class Several extends Strategy {
  readonly #wanted: readonly Wanted[];
  constructor(wanted: readonly Wanted[]) {
    super();
    this.#wanted = wanted;
  }
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["close"], interval: "1d" });
    const signal = column(bars, "close");
    for (const one of this.#wanted) this.addNodeset(makeIntentFirstNodeset({ signal, ...one }));
  }
}

function market(wanted: readonly Wanted[], options: OfflineOptions = {}): OfflineMarket {
  const identified = identifyStrategy(new Several(wanted), { worldId: "w" });
  return findMarket(identified, compileOfflineOptions({ config, ...options }));
}

describe("the market of several targets", () => {
  test("is the only account that lists all instruments, each at its own mark source", () => {
    const found = market([{ instrument: "X" }, { instrument: "Y" }]);

    expect(found).toMatchObject({ accountId: "both", initialCash: 700, currency: "USD" });
    expect(found.instruments).toMatchObject([
      { traded: { symbol: "X", costs: { feeBps: 5, halfSpreadBps: 6 } }, markSource: "day" },
      { traded: { symbol: "Y", costs: { feeBps: 5, halfSpreadBps: 6 } }, markSource: "night" },
    ]);
  });

  test("is never the first of several accounts in the file: one is named, or the run is refused", () => {
    const { first, both } = config.accounts;
    const orders = [
      { first: first!, both: both! },
      { both: both!, first: first! },
    ];
    for (const accounts of orders) {
      const of = (accountId?: string) =>
        market([{ instrument: "X" }], { config: { ...config, accounts }, accountId });
      expect(() => of()).toThrow(expect.objectContaining({ reason: "ACCOUNT_AMBIGUOUS" }));
      expect(() => of()).toThrow(
        "the accounts both, first list X, and costs, cash and limits are those of one: name it with accountId, or --account on the command line",
      );
      expect(of("first")).toMatchObject({ accountId: "first", initialCash: 500 });
      expect(of("both")).toMatchObject({ accountId: "both", initialCash: 700 });
    }
  });

  test("is refused for a named account that does not exist or does not list all instruments", () => {
    const of = (accountId: string) => market([{ instrument: "Y" }], { accountId });

    expect(() => of("third")).toThrow(expect.objectContaining({ reason: "ACCOUNT_UNKNOWN" }));
    expect(() => of("third")).toThrow('no account "third"; it has first, both');
    expect(() => of("first")).toThrow("the account first does not list Y; first lists X");
  });

  test("takes costs and fill rule from each node set, and cash from the one that gives it", () => {
    const costs = { feeBps: 1, halfSpreadBps: 0 };
    const found = market([
      { instrument: "X", executionModel: { costs, sameBarClose: true } },
      { instrument: "Y", executionModel: { noCosts: true }, initialCash: 900 },
    ]);

    expect(found.initialCash).toBe(900);
    expect(found.instruments.map(({ traded }) => traded)).toMatchObject([
      { symbol: "X", costs, sameBarClose: true },
      { symbol: "Y", noCosts: true, sameBarClose: false },
    ]);
  });

  test("takes what the run names before all else", () => {
    const costs = { feeBps: 9, halfSpreadBps: 9 };
    const options = { initialCash: 42, costs, sameBarClose: true };
    const found = market(
      [
        { instrument: "X", initialCash: 1, executionModel: { costs: { ...costs, feeBps: 1 } } },
        { instrument: "Y", initialCash: 2 },
      ],
      options,
    );

    expect(found).toMatchObject({ initialCash: 42 });
    for (const { traded } of found.instruments) {
      expect(traded).toMatchObject({ costs, sameBarClose: true });
    }
  });

  test("needs no account in a configuration without accounts", () => {
    const without = { config: { ...config, accounts: {} } };

    expect(market([{ instrument: "FREER" }], without)).toMatchObject({
      initialCash: 1_000_000,
      currency: "EUR",
      instruments: [{ traded: { costs: { feeBps: 1, halfSpreadBps: 1 } } }],
    });
  });

  test.each([
    [
      "an instrument that no account lists",
      ["FREER"],
      "INSTRUMENTS_MIXED",
      "none of accounts: lists FREER",
    ],
    ["instruments that no one account lists", ["X", "FREE"], "INSTRUMENTS_MIXED", "FREE, X"],
    [
      "two currencies, one with an account",
      ["FREE", "Z"],
      "INSTRUMENTS_MIXED",
      "FREE in USD, Z in EUR",
    ],
    ["two currencies without one", ["FREE", "FREER"], "INSTRUMENTS_MIXED", "FREER in EUR"],
    ["an unknown instrument", ["X", "W"], "INSTRUMENT_UNKNOWN", '"W"'],
  ])("is refused for %s", (_what, symbols, reason, text) => {
    const wanted = symbols.map((instrument, at) => ({ instrument, name: `target ${at}` }));
    expect(() => market(wanted)).toThrow(expect.objectContaining({ reason }));
    expect(() => market(wanted)).toThrow(text);
  });

  test("is refused for two targets of one instrument", () => {
    const wanted = [{ instrument: "X" }, { instrument: "X", longWeight: 0.5 }];
    expect(() => market(wanted)).toThrow(expect.objectContaining({ reason: "TARGET_AMBIGUOUS" }));
    expect(() => market(wanted)).toThrow("two targets for X");
  });

  test("is refused for node sets that start with different cash, naming both", () => {
    const wanted = [
      { instrument: "X", name: "ours", initialCash: 100 },
      { instrument: "Y", name: "theirs", initialCash: 200 },
    ];
    expect(() => market(wanted)).toThrow(expect.objectContaining({ reason: "CASH_AMBIGUOUS" }));
    expect(() => market(wanted)).toThrow('"ours" with 100, "theirs" with 200');
    const equal = wanted.map((one) => ({ ...one, initialCash: 100 }));
    expect(market(equal).initialCash).toBe(100);
  });
});
