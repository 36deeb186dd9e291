import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blake3Hex } from "@qmtl/core/canonical";
import { type FinancingTerms, type PretradeLimits, SimulatedBroker } from "@qmtl/core/execution";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig, type QmtlConfig } from "../../config/index.ts";
import { column, PositionTargetNode, Strategy, StreamInput, sma } from "../../strategy/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { parseReplayOp } from "./replay-op.ts";
import { ReplayRouter, replaySession } from "./replay-session.ts";
import { parseSessionRecord, type SessionRecordLine, sessionRecordLine } from "./session-record.ts";

class Cross extends Strategy {
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["close"], interval: "1d" });
    const close = column(bars, "close", { name: "close" });
    const signal = sma(close, 3, { name: "mean" });
    const thresholds = { longEnter: 105, longExit: 105, shortEnter: 103, shortExit: 103 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}

const DAY = 86_400_000;
const FIRST = 10; // row of the feed's first bar
const BARS = 40;
const close = (row: number): number => 100 + ((row * 7) % 11);
const endOf = (row: number): number => Date.UTC(2020, 0, 1) + (row + 1) * DAY;
const instrument = { symbol: "X", lotSize: "1" };
const id = { world: "w", strategy: "s-1", instrument: "X" };

let folder: string;
let config: QmtlConfig;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "offline-replay-"));
  const rows = Array.from({ length: BARS }, (_, row) => {
    const day = new Date(endOf(row) - DAY).toISOString().slice(0, 10);
    return [day, close(row), close(row) + 1, close(row) - 1, close(row)].join(",");
  });
  writeFileSync(join(folder, "feed.csv"), `date,open,high,low,close\n${rows.join("\n")}\n`);
  writeFileSync(
    join(folder, "qmtl.yml"),
    'sources:\n  day: {file: feed.csv, interval: 1d, start: 2020-01-11}\ninstruments:\n  X: {lot: "1", mark_source: day}\n',
  );
  config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const meanTarget = (side: number, row: number): number => {
  const mean = (close(row) + close(row - 1) + close(row - 2)) / 3;
  if (side === 1) return mean < 105 ? 0 : 1;
  if (side === -1) return mean > 103 ? 0 : -1;
  return mean >= 105 ? 1 : mean <= 103 ? -1 : 0;
};

/**
 * A session as router and journal would record it; `weight` is the activation's, `limits` are in force from a row on,
 * `financing` from its beginning; `fundingRate` is charged at each row.
 */
function record(
  weight = 1,
  limits: ReadonlyMap<number, PretradeLimits> = new Map(),
  financing?: FinancingTerms,
  fundingRate = 0,
): SessionRecordLine[] {
  const lines: SessionRecordLine[] = [
    {
      type: "session",
      version: 1,
      strategy_name: "Cross",
      world_id: "w",
      strategy_id: "s-1",
      account_id: "main",
      initial_cash: 10_000,
      instruments: [instrument],
    },
  ];
  if (weight !== 1) lines.push({ type: "weight", from_ms: 0, long: weight, short: weight });
  const source = identifyStrategy(Cross, { worldId: "w" }).graph.nodes[0]!.id;
  const router = new ReplayRouter({
    account: "main",
    instruments: [instrument],
    initialCash: 10_000,
    hashHex: blake3Hex,
    limits: [...limits.values()][0] ?? {},
  });
  const broker = new SimulatedBroker({ instruments: [instrument], noCosts: true });
  let entry = 0;
  const journal = (row: number, body: { op: string; [field: string]: unknown }) => {
    const place = { kind: body.op, world_id: "w", strategy_id: "s-1", row };
    lines.push({ type: "journal", entry: ++entry, ...place, body });
    const before = router.made.length;
    router.apply(parseReplayOp(body));
    for (const order of router.made.slice(before)) {
      journal(row, { op: "note", order: { ...order }, context: { fence: 1 } });
      journal(row, { op: "state", order: order.id, state: "sent", reason: "" });
      const { id: orderId, lots, bucket, reduceOnly, terms } = order;
      const limit = terms === undefined ? {} : { type: "limit" as const, limitPrice: terms.price };
      broker.accept({ id: orderId, instrument: "X", lots, bucket, reduceOnly, ...limit });
      journal(row, { op: "state", order: order.id, state: "accepted", reason: "" });
    }
  };
  if (financing !== undefined) {
    journal(-1, { op: "settings", money: { kind: "margin", leverageMax: 4, financing } });
  }
  journal(-1, {
    op: "allocate",
    input: { ...id, share: 1, equity: 10_000, beginsStage: true },
    bucket: 0,
  });
  let side = 0;
  let demotedAt = 0;
  for (let row = 2; row < BARS; row++) {
    side = meanTarget(side, row);
    if (row < FIRST) continue;
    const settings = limits.get(row);
    if (settings !== undefined) journal(row, { op: "settings", limits: settings, currency: "USD" });
    const price = close(row);
    const prices = { open: price, high: price + 1, low: price - 1, close: price };
    const span = { openTimeMs: endOf(row - 1), bucketEndMs: endOf(row) };
    for (const fill of broker.onBar({ instrument: "X", row, ...span, ...prices })) {
      const { orderId, executionId, lots, fee } = fill;
      journal(row, { op: "fill", fill: { orderId, executionId, lots, price: fill.price, fee } });
    }
    journal(row, {
      op: "bar",
      source: "day",
      row,
      bucket: endOf(row),
      marks: [{ instrument: "X", close: price }],
    });
    if (fundingRate !== 0) {
      const rates = [{ instrument: "X", rate: fundingRate }];
      journal(row, { op: "fund", source: "rates", row, timeMs: endOf(row), rates, funding: 0 });
    }
    if (financing !== undefined) {
      journal(row, { op: "finance", timeMs: endOf(row), interest: 0, borrowFees: 0 });
    }
    journal(row, { op: "seal", bucket: endOf(row), instruments: ["X"] });
    lines.push({ type: "row", node_id: source, row, end_ms: endOf(row), values: [price] });
    const target = { ...id, value: side * weight, bucket: endOf(row), mark: price, act: true };
    journal(row, { op: "set_target", ...target, session: "x", reason: "" });
    if (row === 15 || row === 16) {
      const order = { ...id, lots: 4, bucket: endOf(row), reduceOnly: false };
      const terms = row === 15 ? {} : { terms: { type: "limit", price: 1 } };
      journal(row, { op: "submit_order", ...order, ...terms, session: "x", request: `r${row}` });
    }
    const isClosing = router.core.openOrders().some((order) => order.origin !== "plain");
    const held = !isClosing && router.core.books().some((book) => book.quantity !== 0);
    if (row > 20 && demotedAt === 0 && held) {
      demotedAt = row;
      journal(row, { op: "demote", ...id, onDemote: "flat", bucket: endOf(row) });
    }
    if (row === demotedAt + 3) {
      journal(row, {
        op: "allocate",
        input: { ...id, share: 0.5, equity: 10_000, beginsStage: true },
        bucket: endOf(row),
      });
    }
  }
  return lines;
}

const parsed = (lines: readonly SessionRecordLine[]) =>
  parseSessionRecord(lines.map(sessionRecordLine).join(""));

test("a session replayed offline makes the same orders, through direct orders, a demotion and an allocation", async () => {
  const lines = record();
  const orders = lines.flatMap((line) =>
    line.type === "journal" && line.body.op === "note"
      ? [line.body.order as { origin: string }]
      : [],
  );
  const origins = orders.map((order) => order.origin);

  const outcome = await replaySession(Cross, parsed(lines), { config });

  const total = origins.filter((origin) => origin === "target").length;
  expect(outcome).toEqual({ identical: true, total, same: total, differences: [] });
  expect(total).toBeGreaterThan(3);
  expect(origins).toContain("demote");
  expect(origins.filter((origin) => origin === "plain")).toHaveLength(2);
});

/** Long while the close is 105 or more; a bucket without a bar is a hole. */
class Continuous extends Strategy {
  override setup(): void {
    const day = { interval: "1d", schedule: "continuous" } as const;
    const bars = new StreamInput({ source: "day", columns: ["close"], ...day });
    const signal = column(bars, "close", { name: "close" });
    const thresholds = { longEnter: 105, longExit: 105 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}

test.each([
  ["the record leaves out", false],
  ["the record has as missing buckets", true],
])(
  "a session with a continuous stream is replayed across holes in its feed that %s",
  async (_, isWritten) => {
    // Days without a bar, some of them before the session.
    const isHole = (day: number): boolean => [5, 6, 20, 21, 22, 30].includes(day);
    const days = Array.from({ length: BARS }, (__, day) => day).filter((day) => !isHole(day));
    const file = join(folder, "holed.csv");
    const text = days.map((day) => {
      const date = new Date(endOf(day) - DAY).toISOString().slice(0, 10);
      return [date, close(day), close(day) + 1, close(day) - 1, close(day)].join(",");
    });
    writeFileSync(file, `date,open,high,low,close\n${text.join("\n")}\n`);
    const holed = { ...config, sources: { day: { ...config.sources.day!, file } } };
    const [header, allocate] = record().filter(
      ({ type }) => type === "session" || type === "journal",
    );
    const lines: SessionRecordLine[] = [header!, allocate!];
    const source = identifyStrategy(Continuous, { worldId: "w" }).graph.nodes[0]!.id;
    const router = new ReplayRouter({
      ...{ account: "main", instruments: [instrument], initialCash: 10_000, hashHex: blake3Hex },
    });
    if (allocate?.type !== "journal") throw new Error("no allocation was recorded");
    router.apply(parseReplayOp(allocate.body));
    let entry = 1;
    for (let day = FIRST; day < BARS; day++) {
      const row = endOf(day) / DAY - 1;
      const price = close(day);
      const at = { type: "row", node_id: source, row, end_ms: endOf(day) } as const;
      if (!isHole(day)) lines.push({ ...at, values: [price] });
      else if (isWritten) lines.push({ ...at, values: null });
      if (isHole(day)) continue;
      const target = { ...id, value: price >= 105 ? 1 : 0, bucket: endOf(day), mark: price };
      const place = { world_id: "w", strategy_id: "s-1", row };
      for (const body of [
        {
          op: "bar",
          source: "day",
          row,
          bucket: endOf(day),
          marks: [{ instrument: "X", close: price }],
        },
        { op: "set_target", ...target, act: true, session: "x", reason: "" },
      ]) {
        lines.push({ type: "journal", entry: ++entry, kind: body.op, ...place, body });
        const before = router.made.length;
        router.apply(parseReplayOp(body));
        for (const order of router.made.slice(before)) {
          const note = { op: "note", order: { ...order }, context: { fence: 1 } };
          lines.push({ type: "journal", entry: ++entry, kind: "note", ...place, body: note });
        }
      }
    }

    const outcome = await replaySession(Continuous, parsed(lines), { config: holed });

    const total = router.made.length;
    expect(total).toBeGreaterThan(5);
    expect(outcome).toEqual({ identical: true, total, same: total, differences: [] });
  },
);

test("a session whose limits were changed between two starts is replayed under those of each", async () => {
  const originsOf = (lines: readonly SessionRecordLine[]) =>
    lines.flatMap((line) =>
      line.type === "journal" && line.body.op === "note"
        ? [(line.body.order as { origin: string }).origin]
        : [],
    );
  const limits = new Map([
    [FIRST + 4, {}],
    [18, { orderNotionalMax: 1 }],
    [34, { orderNotionalMax: 1_000_000 }],
  ]);
  const lines = record(1, limits);
  // The header states the limits of one start only.
  const [header, ...rest] = lines;
  if (header?.type !== "session") throw new Error("no header was recorded");
  const told = [{ ...header, limits: { orderNotionalMax: 2 } }, ...rest];

  const outcome = await replaySession(Cross, parsed(told), { config });

  expect(outcome).toMatchObject({ identical: true, differences: [] });
  expect(outcome.total).toBeGreaterThan(2);
  expect(originsOf(lines)).not.toEqual(originsOf(record()));
});

const lotsOf = (session: readonly SessionRecordLine[]) =>
  session.flatMap((line) =>
    line.type === "journal" && line.body.op === "note"
      ? [(line.body.order as { lots: number }).lots]
      : [],
  );

test("a session is replayed with the days that it was charged", async () => {
  const rates = { cashRate: 1, debitRate: 1, borrowRate: 1 };
  const lines = record(1, new Map(), { ...rates, dayCount: 360, zone: "UTC" });

  expect(await replaySession(Cross, parsed(lines), { config })).toMatchObject({ identical: true });
  expect(lotsOf(lines)).not.toEqual(lotsOf(record()));
});

test("a session is replayed with the funding that it was charged", async () => {
  const lines = record(1, new Map(), undefined, 0.01);

  expect(await replaySession(Cross, parsed(lines), { config })).toMatchObject({ identical: true });
  expect(lotsOf(lines)).not.toEqual(lotsOf(record()));
});

test("the weights of the activation are applied to recomputed targets", async () => {
  const lines = record(0.5);

  expect(await replaySession(Cross, parsed(lines), { config })).toMatchObject({ identical: true });
  const without = lines.filter((line) => line.type !== "weight");
  expect(await replaySession(Cross, parsed(without), { config })).toMatchObject({
    identical: false,
  });
});

test("a target that is stated again at a moment without a bar of its instrument is the one of the bar before", async () => {
  const lines = record();
  const at = lines.findIndex((line) => line.type === "row" && line.row === 30);
  const stated = lines.findLast(
    (line, k) => k < at && line.type === "journal" && line.body.op === "set_target",
  );
  if (stated?.type !== "journal") throw new Error("no target was recorded");
  const bucket = endOf(29) + DAY / 2;
  const again = { ...stated, body: { ...stated.body, bucket } };
  const more = [...lines.slice(0, at), again, ...lines.slice(at)];
  let entry = 0;
  const numbered = more.map((line) =>
    line.type === "journal" ? { ...line, entry: ++entry } : line,
  );

  const outcome = await replaySession(Cross, parsed(numbered), { config });

  expect(outcome).toMatchObject({ identical: true, differences: [] });
});

test("another input gives other orders, told in words", async () => {
  const lines = record().map((line) =>
    line.type === "row" && line.row === 20 ? { ...line, values: [250] } : line,
  );

  const { identical, differences } = await replaySession(Cross, parsed(lines), { config });

  expect(identical).toBe(false);
  expect(differences.join()).toMatch(/order q[0-9a-f]{31}/);
});

test("an order nobody decided is found", async () => {
  const lines = record();
  const made = lines.find(
    (line) => line.type === "journal" && line.body.order !== undefined && line.body.op === "note",
  );
  if (made?.type !== "journal") throw new Error("no order was recorded");
  const forged = { ...(made.body.order as object), id: "q-forged" };
  const entry = lines.filter((line) => line.type === "journal").length + 1;
  lines.push({ ...made, entry, body: { op: "note", order: forged } });

  const { differences } = await replaySession(Cross, parsed(lines), { config });

  expect(differences).toEqual([expect.stringContaining("q-forged")]);
});

test("a cut-off last line is left out; a bad line and a gap in the journal are refused", () => {
  const text = record().map(sessionRecordLine).join("");

  expect(parseSessionRecord(`${text}{"type":"row","no`).rows).toHaveLength(BARS - FIRST);
  expect(() => parseSessionRecord(`${text}{"type":"rows"}\n`)).toThrow(/line of a session record/);
  const holed = record().filter((line) => line.type !== "journal" || line.entry !== 5);
  expect(() => parsed(holed)).toThrow(/entry 6 does not follow/);
});
