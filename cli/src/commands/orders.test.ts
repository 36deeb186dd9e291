import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { type OpenServer, openGrpcServer, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandOutcome, runInProcess } from "./testing/run-in-process.ts";

const trend = "s-00000000000000aa";

/** Pages of two; a token is the number of items before its page. */
function pageOf<T>(items: readonly T[], pageToken: string): { page: T[]; nextPageToken: string } {
  const from = Number(pageToken);
  const nextPageToken = from + 2 < items.length ? String(from + 2) : "";
  return { page: items.slice(from, from + 2), nextPageToken };
}

const orders = ["o-1", "o-2", "o-3", "o-4", "o-5"].map((clientOrderId) => ({ clientOrderId }));

function worldNotFound(worldId: string): QmtlError {
  return new QmtlError("WORLD_NOT_FOUND", `there is no world ${worldId}`, {
    metadata: { world_id: worldId },
  });
}

/** Allocations set, newest last. */
const allocated: { worldId: string; ratio: number }[] = [];

const services = [
  serve(OrderService, {
    listOrders: async ({ pageToken, filter }) => {
      const worldId = filter?.worldId ?? "";
      if (worldId === "b") return { orders: [] };
      if (worldId !== "") throw worldNotFound(worldId);
      const { page, nextPageToken } = pageOf(orders, pageToken);
      return { orders: page, nextPageToken };
    },
    async *watchOrders({ filter }) {
      const { worldId, accountId, strategyId } = filter!;
      const order = { worldId, accountId, strategyId, clientOrderId: "o-6" };
      yield { orders: [{ ...order, state: OrderState.SENT }], initial: true, initialEnd: true };
      yield { orders: [] };
      yield { orders: [{ ...order, state: OrderState.FILLED }] };
    },
    cancelOrders: async ({ scope }) => {
      const ids = scope.case === "orders" ? scope.value.clientOrderIds : ["o-1", "o-2"];
      const refused = new Map([
        ["o-1", Reason.CONFLICT],
        ["o-0", Reason.ORDER_NOT_FOUND],
      ]);
      const results = ids.map((clientOrderId) => {
        const reason = refused.get(clientOrderId) ?? Reason.UNSPECIFIED;
        return { clientOrderId, sent: reason === Reason.UNSPECIFIED, reason };
      });
      return { results };
    },
  }),
  serve(AccountService, {
    listAccounts: async () => ({ accounts: [{ accountId: "main" }] }),
    async *watchJournal({ afterEntry, kinds }) {
      const all = [JournalKind.ORDER, JournalKind.BAR, JournalKind.FILL];
      for (const [at, kind] of all.entries()) {
        if (kinds.includes(kind))
          yield { entries: [{ entry: afterEntry + BigInt(at) + 1n, kind }] };
      }
    },
  }),
  serve(QueueService, {
    listQueuesByTag: async ({ pageToken, query, intervalSeconds }) => {
      const names = [`${query!.tags.join("+")}-${intervalSeconds}`, "b", "c"];
      const { page, nextPageToken } = pageOf(names, pageToken);
      return { queues: page.map((queue) => ({ queue })), nextPageToken };
    },
  }),
  serve(WorldService, {
    createWorld: async ({ world }) => {
      const { accountId } = world!;
      if (accountId !== "mian") return { world: world! };
      throw new QmtlError("ACCOUNT_NOT_FOUND", "account mian is not configured at this gateway", {
        metadata: { account_id: accountId },
      });
    },
    getWorld: async ({ worldId }) => {
      if (["a", "b", "c", "w"].includes(worldId)) return { world: { worldId } };
      throw worldNotFound(worldId);
    },
    listWorlds: async ({ pageToken }) => {
      const { page, nextPageToken } = pageOf(["a", "b", "c"], pageToken);
      return { worlds: page.map((worldId) => ({ worldId })), nextPageToken };
    },
    listBindings: async () => ({
      bindings: [
        { strategyId: trend, strategyName: "trend" },
        { strategyId: "s-00000000000000bb", strategyName: "twin" },
        { strategyId: "s-00000000000000cc", strategyName: "twin" },
      ],
    }),
  }),
  serve(RebalancingService, {
    upsertAllocations: async ({ allocations }) => {
      const [{ worldId, ratio } = { worldId: "", ratio: 0 }] = allocations;
      if (ratio === 0.9) throw new QmtlError("ALLOCATION_INVALID", "would sum to 1.4, above 1");
      allocated.push({ worldId, ratio });
      return { allocations };
    },
  }),
  serve(ActivationService, {
    updateActivation: async ({ strategyId, sides, weight }) => ({
      activations: sides.map((side) => ({ activation: { strategyId, side, weight: weight! } })),
    }),
  }),
];

let server: OpenServer;
beforeAll(async () => {
  server = await openGrpcServer({ services });
});
afterAll(() => server.close());

const qmtl = (...words: readonly string[]): Promise<CommandOutcome> =>
  runInProcess("--gateway-url", `http://127.0.0.1:${server.port}`, ...words);

describe("a list of several pages is shown whole", () => {
  test("of orders, worlds and queues", async () => {
    const shown = [
      await qmtl("orders", "--json"),
      await qmtl("world", "list", "--json"),
      await qmtl("queues", "by-tag", "x,y", "--interval", "1h", "--json"),
    ].map(({ out }) => JSON.parse(out[0]!));

    expect(shown[0]).toHaveLength(5);
    expect(shown[1].map((world: { world_id: string }) => world.world_id)).toEqual(["a", "b", "c"]);
    expect(shown[2].queues.map(({ queue }: { queue: string }) => queue)).toEqual([
      "x+y-3600",
      "b",
      "c",
    ]);
  });
});

test("no orders of a world is an empty list; of a world that is not there it is a refusal", async () => {
  expect((await qmtl("orders", "--world", "b")).out).toEqual(["(none)"]);
  const { exitCode, err } = await qmtl("orders", "--world", "bb");

  expect(exitCode).toBe(1);
  expect(err).toEqual([
    "error: there is no world bb [WORLD_NOT_FOUND]",
    expect.stringContaining("did you mean b?"),
  ]);
});

test("a world whose account the gateway does not have is refused with the nearest one", async () => {
  const odd = await qmtl("world", "create", "w", "--account", "mian");
  const good = await qmtl("world", "create", "w", "--account", "main", "--allocation", "0.5");

  expect(odd).toMatchObject({ exitCode: 1, out: [] });
  expect(odd.err[1]).toBe(
    "hint: did you mean main? `qmtl account list` shows the accounts of the gateway",
  );
  expect(good).toMatchObject({ exitCode: 0, out: ["world w made"], err: [] });
  expect(allocated).toEqual([{ worldId: "w", ratio: 0.5 }]);
});

test("a world that is made and gets no capital says both", async () => {
  const { exitCode, err } = await qmtl("world", "create", "w", "--allocation", "0.9");

  expect(exitCode).toBe(1);
  expect(err).toEqual([
    "error: world w is created, but without capital: would sum to 1.4, above 1",
    "hint: `qmtl world update w --allocation RATIO` gives it a share",
  ]);
});

describe("what is followed is printed as it comes", () => {
  test("orders of a strategy, by its name in a world", async () => {
    const { out } = await qmtl(
      ...["orders", "--follow", "--world", "demo", "--strategy", "trend", "--json"],
    );

    expect(out.map((line) => JSON.parse(line))).toMatchObject([
      { client_order_id: "o-6", world_id: "demo", state: "ORDER_STATE_SENT" },
      { client_order_id: "o-6", state: "ORDER_STATE_FILLED" },
    ]);
  });

  test("journal entries of some kinds, after one", async () => {
    const { out } = await qmtl(
      ...["journal", "main", "--follow", "--after", "7", "--kinds", "order,fill", "--json"],
    );

    expect(out.map((line) => JSON.parse(line))).toMatchObject([
      { entry: "8", kind: "JOURNAL_KIND_ORDER" },
      { entry: "10", kind: "JOURNAL_KIND_FILL" },
    ]);
  });

  test("a kind that is none is a usage error that names the kinds there are", async () => {
    const { exitCode, err } = await qmtl("journal", "main", "--kinds", "fills");

    expect(exitCode).toBe(2);
    expect(err[0]).toBe("error: fills is not a kind of journal entry");
    expect(err[1]).toContain("order_state, fill, target");
  });
});

test("a cancel reports what it was sent for and what was not working", async () => {
  const words = ["orders", "cancel", "o-1", "o-2", "o-0", "--reason", "x"];
  const { exitCode, out, err } = await qmtl(...words);

  expect(exitCode).toBe(1);
  expect(out).toEqual(["o-2", "a cancel was sent for 1 orders"]);
  expect(err).toEqual([
    "error: not working: o-1; not found: o-0",
    "hint: `qmtl orders --working` shows what can be cancelled",
  ]);
});

test("cancelling a whole world ignores orders that ended meanwhile", async () => {
  const { exitCode, out } = await qmtl("orders", "cancel", "--world", "b", "--reason", "x");

  expect(exitCode).toBe(0);
  expect(out).toEqual(["o-2", "a cancel was sent for 1 orders"]);
});

test.each([
  [[]],
  [["o-1", "--world", "b"]],
  [["--world", "b", "--account", "main"]],
  [["--strategy", trend]],
])("a cancel of %j says neither one scope nor the other, and asks nobody", async (words) => {
  const { exitCode } = await qmtl("orders", "cancel", ...words, "--reason", "x");

  expect(exitCode).toBe(2);
});

test("a name of two strategies is a usage error that names their ids", async () => {
  const { exitCode, err } = await qmtl("orders", "--world", "demo", "--strategy", "twin");

  expect(exitCode).toBe(2);
  expect(err[0]).toBe("error: world demo has 2 strategies named twin");
  expect(err[1]).toContain("s-00000000000000bb, s-00000000000000cc");
});

test("changing a strategy that is off names the apply that switches it on", async () => {
  const words = ["world", "activate", "demo", "trend", "--side", "long", "--reason", "x"];
  const { exitCode, out, err } = await qmtl(...words, "--weight", "0.5");
  const nothing = await qmtl(...words);

  expect({ exitCode, out }).toEqual({ exitCode: 0, out: ["long: off, weight 0.5"] });
  const deed = "`qmtl world apply demo --run ID --to MODE --activate trend` switches it on";
  expect(err).toEqual([`note: trend is off in demo; ${deed}`]);
  expect(nothing.exitCode).toBe(2);
  expect(nothing.err.join()).toContain(deed);
});

test.each([
  [["journal", "main", "--after", "x"], "--after"],
  [["world", "audit", "demo", "--after", "-1"], "--after"],
  [["queues", "by-tag", "x", "--interval", "abc"], "--interval"],
  [["queues", "advance", "day", "--end", "--wait", "--timeout", "soon"], "--timeout"],
  [["world", "create", "demo", "--allocation", "2"], "--allocation"],
  [["world", "create", "demo", "--max-lag-days", "week"], "--max-lag-days"],
  [["world", "activate", "demo", "trend", "--weight", "half", "--reason", "x"], "--weight"],
  [["policy", "show", "demo", "newest"], "version"],
  [["policy", "set-default", "demo", "0"], "version"],
])("%j names what is no number, and asks nobody", async (words, field) => {
  const { exitCode, err } = await qmtl(...words, "--json");

  expect(exitCode).toBe(2);
  expect(JSON.parse(err[0]!).error).toContain(field);
});
