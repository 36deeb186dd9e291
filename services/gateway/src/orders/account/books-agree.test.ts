import { hasReason } from "@qmtl/sdk/rpc";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { booksFromJournal, booksFromSnapshot, booksText } from "../testing/books-text.ts";
import { emittedTopic } from "../testing/emitted-topics.ts";
import { OrderBench, paperAccount, replayWorld } from "../testing/order-bench.ts";

let host: PgliteHost;

beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(async () => {
  await host.close();
});

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("bar" as const),
      price: fc.integer({ min: 80, max: 120 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("target" as const),
      strategy: fc.constantFrom("A", "B"),
      value: fc.constantFrom(-1, -0.5, 0, 0.5, 1),
      isLost: fc.boolean(),
      terms: fc.constantFrom("none", "drift", "row"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "freeze",
        "open",
        "restart",
        "reconcile",
        "halt",
        "resume",
        "demote",
        "promote",
      ),
    }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const halt = { scope: "world", target: "w1", reason: "test", timeMs: 1 } as const;

async function perform(bench: OrderBench, one: Step, row: number): Promise<number> {
  const { world } = bench;
  switch (one.kind) {
    case "bar":
      await bench.bar(row + 1, "price" in one ? one.price : 100);
      return row + 1;
    case "target": {
      if (!("strategy" in one)) return row;
      bench.fault = () => one.isLost;
      const terms = {
        ...{ none: {}, drift: { rebalance: { drift: 0.02 } }, row: { sizedRow: BigInt(row) } },
      }[one.terms];
      await bench.end(one.strategy, row, one.value, { terms });
      bench.fault = () => false;
      return row;
    }
    case "freeze":
      if (world.gate === "OPEN") world.setGate("CLOSING");
      break;
    case "open":
      if (world.gate === "CLOSING") world.setGate("CLOSED");
      if (world.gate === "CLOSED") world.setGate("OPEN");
      break;
    case "restart":
      await bench.restart();
      break;
    case "reconcile":
      await bench.orders.reconcile(bench.router);
      break;
    case "halt":
      await bench.halt(halt, { cancel: true, flatten: row % 2 === 0 });
      break;
    case "resume":
      await bench.resume(halt).catch((failure: unknown) => {
        if (!hasReason(failure, "HALT_NOT_FOUND")) throw failure;
      });
      break;
    default:
      world.modes.set("A", one.kind === "demote" ? "compute-only" : "paper");
      world.publish();
  }
  await bench.applied();
  return row;
}

const brokers = [
  { what: "a broker in the router's database", isBrokerRemote: false },
  { what: "a broker elsewhere", isBrokerRemote: true },
];

test.each(brokers)(
  "whatever happens, the books agree with the fills and positions of $what, and nothing opens while the gate is shut",
  async ({ isBrokerRemote }) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        // A snapshot every few entries, of whatever state the account is in then.
        const options = { entriesPerSnapshot: 7, isBrokerRemote };
        const bench = await OrderBench.open(host, paperAccount, replayWorld, options);
        try {
          await bench.bar(0, 100);
          await bench.promote({ A: 0.4, B: 0.3 });
          let row = 0;
          for (const one of steps) {
            const isShut = bench.world.gate !== "OPEN";
            const before = (await bench.accepted()).length;
            row = await perform(bench, one, row);
            if (!isShut || bench.world.gate === "OPEN") continue;
            const taken = (await bench.accepted()).slice(before);
            for (const order of taken) expect(["demote", "halt_flatten"]).toContain(order.origin);
          }
          await bench.orders.reconcile(bench.router);
          await agree(bench);
          await expectToldWhole(bench, "world/w1/order");
          await expectToldWhole(bench, "halt");
        } finally {
          await bench.orders.stop();
        }
      }),
      { numRuns: 12, seed: 20_150_203 },
    );
  },
  120_000,
);

/** Each change was published once, in order, and the events add up to what is stored. */
async function expectToldWhole(bench: OrderBench, key: "world/w1/order" | "halt"): Promise<void> {
  const { revisions, revision, folded, stored, truth } = await emittedTopic(bench, key);
  expect(revisions).toEqual(Array.from({ length: revision }, (_, at) => at + 1));
  expect([key, stored]).toEqual([key, truth]);
  expect([key, folded]).toEqual([key, truth]);
}

async function agree(bench: OrderBench): Promise<void> {
  const { core } = bench.router;
  const fills = await bench.db.query<{ lots: number }>(
    "SELECT coalesce(sum(lots), 0)::bigint AS lots FROM paper.execution",
  );
  const booked = core.books().reduce((sum, book) => sum + book.quantity, 0);
  const atBroker = (await bench.router.deps.broker.positions()).get("SPX");
  expect(booked).toBe(fills[0]?.lots);
  expect(booked).toBe(atBroker);
  expect(bench.router.difference).toBe("");
  const ids = (await bench.accepted()).map((order) => order.id);
  expect(new Set(ids).size).toBe(ids.length);
  const snapshot = core.snapshot();
  await bench.router.exclusive(() => bench.router.rebuild());
  expect(bench.router.core.snapshot()).toEqual(snapshot);
  const begun = await booksFromSnapshot(bench);
  const whole = await booksFromJournal(bench);
  expect(begun.fromEntry).toBeGreaterThan(0);
  expect(whole.fromEntry).toBe(0);
  expect(whole.core.snapshot()).toEqual(snapshot);
  expect(booksText(begun)).toBe(booksText(whole));
}
