import { createHash } from "node:crypto";
import { exactJson } from "@qmtl/core/canonical";
import type { AccountCore, AccountOp } from "@qmtl/core/execution";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type Db, openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { LeasedDb } from "../../instances/leased-db.ts";
import { submitPlan } from "../intake/submit-plan.ts";
import { listManifests, readPieces, writeManifest, writePiece } from "../store/snapshot-store.ts";
import { booksFromJournal, booksFromSnapshot, booksText } from "../testing/books-text.ts";
import {
  type BenchHost,
  bucketOf,
  OrderBench,
  paperAccount,
  replayWorld,
} from "../testing/order-bench.ts";
import type { AccountInstrument, AccountSettings } from "./account-settings.ts";
import { snapshotFormat, snapshotOfPieces } from "./account-snapshot.ts";
import { storeSnapshot } from "./newest-snapshot.ts";

const [spx] = paperAccount.instruments as [AccountInstrument];
const ndx: AccountInstrument = { ...spx, symbol: "NDX" };
const account = "paper";

function startSuite(opened: () => BenchHost): void {
  let bench: OrderBench;
  afterEach(() => bench.orders.stop());

  /** A and B trade for some rows. */
  async function trade(settings: AccountSettings = paperAccount, entriesPerSnapshot?: number) {
    const options = entriesPerSnapshot === undefined ? {} : { entriesPerSnapshot };
    bench = await OrderBench.open(opened(), settings, replayWorld, options);
    await bench.bar(0, 100);
    await bench.promote({ A: 0.4, B: 0.3 });
    await tradeOn(0, 4);
    await bench.orders.reconcile(bench.router);
    await tradeOn(4, 8);
    await bench.router.stored();
  }

  async function tradeOn(from: number, to: number): Promise<void> {
    for (let row = from; row < to; row += 1) {
      await bench.end("A", row, [0.5, -1, 0.2][row % 3]);
      await bench.end("B", row, row % 2);
      await bench.bar(row + 1, 100 + (row % 4) / 3);
    }
  }

  const entries = async () => (await listManifests(bench.db, account)).map(({ entry }) => entry);
  const unused = () => bench.warnings.filter((one) => one.startsWith("snapshot of an account"));
  const run = (sql: string) => bench.db.query(sql);
  const piecesOf = (entry: number) => readPieces(bench.db, { account, entry }, 1_000);

  /** Stops, leaves one snapshot, of the last entry, does something to the tables, and starts. */
  async function restartAfter(
    damage: (entry: number) => Promise<unknown>,
    settings = bench.router.deps.settings,
  ): Promise<void> {
    bench.whileDown = async () => {
      const [entry = 0] = await entries();
      expect(entry).toBe(bench.router.head);
      await run(`DELETE FROM gateway.account_snapshot WHERE entry <> ${entry}`);
      bench.warnings.length = 0;
      await damage(entry);
    };
    await bench.restart(settings);
    bench.whileDown = async () => {};
  }

  /** What is in memory is what the whole journal gives. */
  function expectWholeJournal(): Promise<void> {
    return bench.router.exclusive(async () => {
      const whole = await booksFromJournal(bench);
      const { core, market, sealedSlices, difference, head } = bench.router;
      expect(core.snapshot()).toStrictEqual(whole.core.snapshot());
      expect(market.snapshot()).toStrictEqual(whole.market.snapshot());
      expect(sealedSlices).toStrictEqual(whole.sealedSlices);
      expect([difference, head]).toEqual(["", whole.last?.entry]);
    });
  }

  /** Replaces a snapshot by one of other pieces, with their hash. */
  async function rewrite(entry: number, pieces: readonly string[]): Promise<void> {
    await run("DELETE FROM gateway.account_snapshot");
    const hash = createHash("sha256");
    for (const [at, piece] of pieces.entries()) {
      hash.update(piece);
      await writePiece(bench.db, { account, entry }, at + 1, piece);
    }
    const seal = { format: snapshotFormat, pieces: pieces.length, sha256: hash.digest("hex") };
    await writeManifest(bench.db, { account, entry }, exactJson(seal));
  }

  test("a clean stop leaves a snapshot, and the next start reads nothing of the journal before it", async () => {
    await trade();
    const before = bench.router.core.snapshot();

    await restartAfter((entry) =>
      run(`UPDATE gateway.journal SET body = 'no JSON' WHERE entry < ${entry}`),
    );

    expect(unused()).toEqual([]);
    expect(bench.router.core.snapshot()).toStrictEqual(before);
    await expect(booksFromJournal(bench)).rejects.toThrow(SyntaxError);
  });

  test("of more executions than an account remembers none is booked again after a replay of its whole journal", async () => {
    await trade();
    const { fills, books } = bench.router.core.snapshot();
    const [{ world, strategy, instrument }] = books as [(typeof books)[number]];
    const book = JSON.stringify({ world, strategy, instrument });
    expect(fills.length).toBeGreaterThan(3);

    // An account remembers 50,000; what was bought here was sold again, so the broker's books are the same.
    await restartAfter(async (entry) => {
      await run("DELETE FROM gateway.account_snapshot");
      await run(
        `INSERT INTO gateway.journal (account_id, entry, kind, world_id, strategy_id, source_row, body, time_ms)
         SELECT '${account}', ${entry} + n, 'fill', '${world}', '${strategy}', 8,
           '{"op":"fill","fill":{"orderId":"o","executionId":"bulk-' || n || '","lots":' || (n % 2 * 2 - 1) ||
           ',"price":100,"fee":0,"book":${book}}}', 0
         FROM generate_series(1, 50002) AS n`,
      );
    });

    expect(bench.router.core.snapshot().fills).toHaveLength(50_000);
    expect(bench.router.core.snapshot().fills[0]).toMatchObject({ orderId: "o" });
    expect([bench.router.difference, bench.router.isDoubtful]).toEqual(["", false]);
    await expectWholeJournal();
  });

  test("a snapshot is stored every so many entries, and the two newest are kept", async () => {
    await trade(paperAccount, 10);
    const { head } = bench.router;

    const kept = await entries();

    expect(head).toBeGreaterThan(40);
    expect(kept).toHaveLength(2);
    expect(kept[0]! - kept[1]!).toBeGreaterThanOrEqual(10);
    expect(kept[0]).toBeGreaterThan(head / 2);
  });

  test("killed between a booking and its snapshot, an account starts from the one before and decides the same", async () => {
    await trade(paperAccount, 25);
    bench.whileDown = async () => {
      const [last = 0, before] = await entries();
      // The snapshot of the stop was left without its manifest.
      await run(`DELETE FROM gateway.account_snapshot WHERE piece = 0 AND entry = ${last}`);
      const begun = await booksFromSnapshot(bench);
      const whole = await booksFromJournal(bench);

      expect(begun.fromEntry).toBe(before);
      expect(begun.fromEntry).toBeLessThan(last);
      expect(begun.sequence).toBeGreaterThan(0);
      expect(booksText(begun)).toBe(booksText(whole));
      goOn(begun.core, whole.core);
      expect(exactJson(begun.core.snapshot())).toBe(exactJson(whole.core.snapshot()));
    };
    await bench.restart();
    bench.whileDown = async () => {};
    await expectWholeJournal();
    // The gateway that started there does so, too, in spite of pieces without a manifest.
    await bench.armed();
    await tradeOn(8, 11);
    await bench.router.stored();
    await expectWholeJournal();
  });

  test.each<[string, string, RegExp]>([
    [
      "of another format",
      `UPDATE gateway.account_snapshot SET body = replace(body, '"format":5', '"format":4') WHERE piece = 0`,
      /it is of format 4, and this build reads format 5$/,
    ],
    [
      "whose seal cannot be read",
      "UPDATE gateway.account_snapshot SET body = 'seal' WHERE piece = 0",
      /what is said of its pieces cannot be read$/,
    ],
    [
      "whose bytes were changed",
      `UPDATE gateway.account_snapshot SET body = replace(body, '"accountCash":', '"accountCash":1') WHERE piece = 1`,
      /its pieces do not have the hash that was stored$/,
    ],
    [
      "of which a piece is missing",
      "DELETE FROM gateway.account_snapshot WHERE piece = 1",
      /0 of its 1 pieces are there$/,
    ],
    [
      "that the journal ends before",
      "UPDATE gateway.account_snapshot SET entry = entry + 1",
      /the journal ends before it, at entry \d+$/,
    ],
    [
      "that stands at another entry than its own",
      "UPDATE gateway.account_snapshot SET entry = entry - 1",
      /it cannot be read: not of entry \d+ of account paper$/,
    ],
    [
      "of another journal",
      "UPDATE gateway.journal SET time_ms = time_ms + 1 WHERE entry = (SELECT max(entry) FROM gateway.journal)",
      /it is of another journal$/,
    ],
  ])(
    "a snapshot %s is not used, which is logged, and the whole journal is replayed",
    async (_, damage, reason) => {
      await trade();

      await restartAfter(() => run(damage));

      expect(unused()).toHaveLength(1);
      expect(unused()[0]).toMatch(reason);
      await expectWholeJournal();
    },
  );

  test("one whose pieces have their hash and are no snapshot all the same is not used either", async () => {
    await trade();
    const others: ((piece: string) => string[])[] = [
      () => ["no JSON"],
      () => ["{}"],
      () => ["[[]]"],
      (piece) => [piece.slice(0, -1)],
      (piece) => [piece, piece],
    ];

    for (const other of others) {
      await restartAfter(async (entry) => rewrite(entry, other((await piecesOf(entry))[0] ?? "")));
      expect(unused()).toEqual([expect.stringContaining("it cannot be read: ")]);
      await expectWholeJournal();
    }
  });

  test("where the newest cannot be used, the one before it is", async () => {
    await trade(paperAccount, 25);
    await bench.restart();
    await bench.applied(); // and noted in the journal
    const [last, older] = await entries();
    await run(
      `UPDATE gateway.account_snapshot SET body = body || ' ' WHERE entry = ${last} AND piece = 1`,
    );

    const begun = await booksFromSnapshot(bench);

    expect(begun.fromEntry).toBe(older);
    expect(booksText(begun)).toBe(booksText(await booksFromJournal(bench)));
  });

  test("a journal put back to an older point takes no snapshot of later entries, not even once it is as long again", async () => {
    await trade();
    for (let row = 9; row < 15; row += 1) await bench.bar(row, 101);
    const { head } = bench.router;

    await restartAfter(() => run(`DELETE FROM gateway.journal WHERE entry > ${head - 4}`));
    const kept = await entries();
    await expectWholeJournal();
    for (let row = 11; row < 20; row += 1) await bench.bar(row, 102);

    expect(unused()).toEqual([expect.stringContaining(`ends before it, at entry ${head - 4}`)]);
    expect(kept).toEqual([]);
    expect(bench.router.head).toBeGreaterThan(head);
    await bench.restart();
    await expectWholeJournal();
  });

  test.each<[string, AccountSettings, AccountSettings, number]>([
    ["has other lots", withBoth({}), withBoth({ lotSize: "1" }), 1],
    ["has another multiplier", withBoth({}), withBoth({ multiplier: 2 }), 1],
    ["is gone", withBoth({}), paperAccount, 1],
    ["is new", paperAccount, withBoth({}), 0],
  ])(
    "where an instrument without a book %s, that decides whether a snapshot still counts",
    async (_, was, is, lines) => {
      await trade(was);

      await restartAfter(async () => {}, is);

      expect(unused()).toHaveLength(lines);
      for (const line of unused())
        expect(line).toMatch(/settings that it counts with have changed$/);
      await expectWholeJournal();
    },
  );

  test("what books of a snapshot contradict is refused as it is by the whole journal", async () => {
    await trade();
    const other = { ...paperAccount, instruments: [{ ...spx, lotSize: "1" }] };

    await expect(bench.restart(other)).rejects.toMatchObject({
      reason: "CONFIG_INVALID",
      message: expect.stringContaining("instruments.SPX.lot is 1"),
    });
    await bench.restart(paperAccount);
    expect(bench.router.difference).toBe("");
  });

  test("the last returns are told again after a start from a snapshot, as many as after one from the journal", async () => {
    await trade();
    await bench.restart();
    expect((await booksFromSnapshot(bench)).fromEntry).toBeGreaterThan(0);
    const { sealedSlices } = await booksFromJournal(bench);

    expect(sealedSlices.length).toBeGreaterThan(4);
    expect(bench.router.sealedSlices).toEqual(sealedSlices);
  });

  test("a rebalance whose transfer failed is told to the broker by the start from a later snapshot", async () => {
    await trade();
    const { router } = bench;
    const crosses = [
      {
        ...{ instrument: "SPX", lots: 5, price: 100 },
        buyer: { world: "w1", strategy: "A" },
        seller: { world: "w1", strategy: "B" },
      },
    ];
    const shares = ["A", "B"].map((strategy) => ({ world: "w1", strategy, share: 0.3 }));
    const submit = (batchId: string) =>
      router.exclusive(() =>
        submitPlan(router, {
          ...{ batchId, reason: "test", principal: "local", worlds: ["w1"] },
          keep: () => async () => {},
          plan: { accountRevision: router.head, isExecutable: true, deltas: [], crosses, shares },
        }),
      );
    const told = () => opened().db("paper").query("SELECT batch_id FROM paper.transfer ORDER BY 1");
    await submit("b1");
    vi.spyOn(router.deps.broker, "transfer").mockRejectedValueOnce(new Error("no answer"));
    await expect(submit("b2")).rejects.toThrow("no answer");
    expect(await told()).toEqual([{ batch_id: "b1" }]);
    expect(router.rebalances.map(({ batchId }) => batchId)).toEqual(["b2"]);

    await bench.restart();

    expect((await booksFromSnapshot(bench)).fromEntry).toBeGreaterThan(0);
    expect(await told()).toEqual([{ batch_id: "b1" }, { batch_id: "b2" }]);
    expect(bench.router.rebalances).toEqual([]);
  });

  test("what an operation performed before it failed is in no snapshot, and no longer in the core", async () => {
    await trade();
    bench.fault = () => true;
    await bench.end("A", 8, 1);
    await bench.bar(9, 100);
    bench.fault = () => false;
    const { router } = bench;
    // A fill that was never reported is imported, and then the broker does not answer.
    vi.spyOn(router.deps.broker, "positions").mockRejectedValueOnce(new Error("no answer"));
    await expect(bench.orders.reconcile(router)).rejects.toThrow("no answer");
    await router.close();

    const begun = await booksFromSnapshot(bench);

    expect(begun.fromEntry).toBe(router.head);
    expect(booksText(begun)).toBe(booksText(await booksFromJournal(bench)));
    await bench.orders.reconcile(router);
    expect(router.difference).toBe("");
    expect(booksText(await booksFromSnapshot(bench))).toBe(
      booksText(await booksFromJournal(bench)),
    );
  });

  describe("a snapshot that is stored", () => {
    /** The database of a gateway that leads for only `writes` more writes. */
    const leased = (writes: number): LeasedDb => {
      let left = writes;
      return new LeasedDb(bench.db, {
        guard: () => {
          left -= 1;
          return { sql: "$1::boolean", params: [left >= 0] };
        },
        refusal: async () => new QmtlError("NOT_LEADER", "deposed"),
      });
    };

    test("is stored by no gateway that was deposed, before it began or meanwhile", async () => {
      await trade();
      await bench.router.close();
      const { head } = bench.router;
      const pieces = await piecesOf(head);
      const snapshot = snapshotOfPieces(pieces, { account, entry: head });
      await run("DELETE FROM gateway.account_snapshot");
      const refused = { reason: "NOT_LEADER" };

      await expect(storeSnapshot(leased(0), snapshot)).rejects.toMatchObject(refused);
      expect(await piecesOf(head)).toEqual([]);
      await expect(storeSnapshot(leased(1), snapshot)).rejects.toMatchObject(refused);
      expect(await piecesOf(head)).toEqual(pieces);
      expect(await entries()).toEqual([]);
      await storeSnapshot(leased(2), snapshot);
      expect(await entries()).toEqual([head]);
    });

    test("takes the place of all but the one before it, of what was never sealed and of later entries", async () => {
      await trade();
      await run("DELETE FROM gateway.account_snapshot");
      const put = async (entry: number, isSealed: boolean) => {
        const key = { account, entry };
        await writePiece(bench.db, key, 1, `of ${entry}`);
        if (isSealed) await writeManifest(bench.db, key, `seal of ${entry}`);
      };
      await run("INSERT INTO gateway.account_snapshot VALUES ('other', 1, 0, 'seal')");
      await put(10, true);
      await put(20, true);
      await put(25, false);
      await put(90, false);

      await put(30, true);

      const rows = await run(
        "SELECT account_id || entry || body AS row FROM gateway.account_snapshot ORDER BY 1",
      );
      expect(rows.map((one) => Object.values(one)[0])).toEqual([
        ...["other1seal", "paper20of 20", "paper20seal of 20"],
        ...["paper30of 30", "paper30seal of 30"],
      ]);
      await put(30, true);
      await run("DELETE FROM gateway.account_snapshot");
    });
  });
}

function withBoth(change: Partial<AccountInstrument>): AccountSettings {
  return { ...paperAccount, instruments: [spx, { ...ndx, ...change }] };
}

/** The same operations on two cores: each leads to the same on both. */
function goOn(one: AccountCore, other: AccountCore): void {
  const id = { world: "w1", strategy: "A", instrument: "SPX" };
  const both = (op: AccountOp): void => {
    expect(exactJson(one.apply(op))).toBe(exactJson(other.apply(op)));
  };
  for (let row = 7; row < 30; row += 1) {
    const bucket = bucketOf(row);
    const mark = 100 + (row % 9) / 7;
    both({ op: "set_target", ...id, value: [1, -0.7, 0.1][row % 3]!, bucket, mark });
    for (const { id: orderId, lots } of one.openOrders()) {
      both({ op: "state", order: orderId, state: "accepted", reason: "" });
      const fill = { orderId, executionId: `${orderId}:${row}`, lots, price: mark, fee: 0.3 };
      if (row % 4 > 0) both({ op: "fill", fill });
      else both({ op: "cancel_order", order: orderId });
    }
    both({ op: "bar", bucket, marks: [{ instrument: "SPX", close: mark }], worlds: ["w1"] });
  }
}

describe("an account starts from a snapshot (PGlite)", () => {
  let host: Awaited<ReturnType<typeof openTestPglite>>;
  beforeAll(async () => {
    host = await openTestPglite();
  });
  afterAll(() => host.close());
  startSuite(() => host);
});

describePostgres("an account starts from a snapshot", (server) => {
  const dbs = new Map<string, Db>();
  beforeAll(async () => {
    const dsn = await server().createDatabase();
    for (const schema of ["gateway", "paper"]) {
      dbs.set(schema, await openPostgres({ dsn, schema, connectionsMax: 3 }));
    }
  });
  afterAll(async () => {
    for (const db of dbs.values()) await db.close();
  });
  startSuite(() => ({ db: (schema) => dbs.get(schema)! }));
});
