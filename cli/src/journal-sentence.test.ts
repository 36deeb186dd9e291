import { expect, test } from "vitest";
import { journalSentence } from "./journal-sentence.ts";

const told = (body: object): string =>
  journalSentence({ worldId: "demo", strategyId: "s-1", bodyJson: JSON.stringify(body) });

const order = {
  ...{ id: "o-7", world: "demo", strategy: "s-1", instrument: "SPX", lots: -3, origin: "target" },
};

test.each([
  [
    { op: "compare", positions: [["SPX", 0]], cash: 1_000 },
    "books are compared with the broker, which holds 0 positions and 1,000 in cash",
  ],
  [
    { op: "set_target", value: 0.25, instrument: "SPX", act: true, reason: "" },
    "s-1 in demo wants 25 % of its capital in SPX",
  ],
  [
    { op: "set_target", value: 1, instrument: "SPX", act: false, reason: "" },
    "s-1 in demo wants 100 % of its capital in SPX; no order is made while a halt is in force",
  ],
  [
    { op: "set_target", value: 0.6, instrument: "SPX", act: true, resize: true, reason: "" },
    "s-1 in demo wants 60 % of its capital in SPX; it is sized again, because what is held has strayed",
  ],
  [
    {
      op: "settings",
      initialCash: 1_000,
      currency: "USD",
      limits: { orderNotionalMax: 500 },
      instruments: [{ symbol: "SPX", lotSize: "0.1", multiplier: 1 }],
    },
    "from here on: it begins with 1,000 in cash; its currency is USD; one order may be worth 500, all together any amount; a lot of SPX is 0.1",
  ],
  [
    { op: "settings", instruments: Array(6).fill({ symbol: "SPX", lotSize: "1", multiplier: 1 }) },
    "from here on: it has lots of 6 instruments",
  ],
  [
    { op: "settings", costs: { feeBps: 9, halfSpreadBps: 0.5 } },
    "from here on: a fill costs 9 basis points of fee and 0.5 of half spread",
  ],
  [
    { op: "settings", limits: {} },
    "from here on: one order may be worth any amount, all together any amount",
  ],
  [
    {
      op: "settings",
      money: {
        ...{ kind: "margin", leverageMax: 2 },
        financing: {
          ...{ cashRate: 0.02, debitRate: 0.06, borrowRate: 0.01, dayCount: 360, zone: "UTC" },
        },
      },
    },
    "from here on: positions may be worth 2 times its equity, with 2 % a year on cash, 6 % on debit and 1 % on shorts, each day of UTC for 1/360 of it",
  ],
  [
    { op: "finance", timeMs: Date.UTC(2020, 0, 3), interest: 12.5, borrowFees: 0.25 },
    "the account pays 12.5 of interest and pays 0.25 of borrow fees for the day that ends at 2020-01-03T00:00:00.000Z",
  ],
  [
    { op: "finance", timeMs: Date.UTC(2020, 0, 3), interest: -12.5, borrowFees: 0 },
    "the account receives 12.5 of interest and pays 0 of borrow fees for the day that ends at 2020-01-03T00:00:00.000Z",
  ],
  [
    {
      ...{ op: "fund", source: "rates", row: 4, timeMs: Date.UTC(2020, 0, 3), funding: 1.5 },
      rates: [{ instrument: "BTC", rate: 0.0001 }],
      missing: ["ETH"],
    },
    "the account pays 1.5 of funding at 2020-01-03T00:00:00.000Z: the rates of rates are 0.0001 for BTC, none for ETH",
  ],
  [
    {
      ...{ op: "fund", source: "rates", row: 5, timeMs: Date.UTC(2020, 0, 3), funding: -0.25 },
      rates: [{ instrument: "BTC", rate: -0.0001 }],
    },
    "the account receives 0.25 of funding at 2020-01-03T00:00:00.000Z: the rates of rates are -0.0001 for BTC",
  ],
  [
    { op: "fund", source: "rates", row: 3, timeMs: Date.UTC(2020, 0, 3), rates: [], funding: 0 },
    "the account pays 0 of funding at 2020-01-03T00:00:00.000Z: the rates of rates are history",
  ],
  [
    { op: "seal", bucket: 1_420_156_800_000, instruments: ["BTC", "SPX"] },
    "returns are sealed at the marks of BTC, SPX at 2015-01-02T00:00:00.000Z",
  ],
  [
    { op: "note", order },
    "order o-7 of s-1 in demo is to sell 3 lots of SPX at the market (target)",
  ],
  [
    { op: "fill", fill: { orderId: "o-7", lots: -1, price: 101.5, fee: 0.02 } },
    "order o-7 sold 1 lot at 101.5, fee 0.02",
  ],
  [
    { op: "state", order: "o-7", state: "REJECTED", reason: "OVER_LIMIT" },
    "order o-7 is REJECTED: OVER_LIMIT",
  ],
  [
    {
      op: "note",
      haltId: "h-1",
      scope: "world",
      target: "demo",
      principal: "kim",
      reason: "to look",
      cancel: true,
      flatten: false,
    },
    "kim halts world demo, cancelling: to look",
  ],
  [
    { op: "note", haltId: "h-1", scope: "all", target: "", principal: "kim", reason: "looked at" },
    "kim lets everything trade again: looked at",
  ],
  [
    { op: "note", batch: "r-1", reason: "monthly", principal: "kim" },
    "kim executes rebalance r-1: monthly",
  ],
])("%j is told as a sentence", (body, sentence) => {
  expect(told(body)).toBe(sentence);
});

test("an entry of a later version is told as it is, not guessed at", () => {
  expect(told({ op: "teleport", to: "Mars" })).toBe('{"op":"teleport","to":"Mars"}');
});
