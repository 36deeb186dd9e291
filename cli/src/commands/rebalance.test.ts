import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RebalancingExecutionService } from "@qmtl/contracts/qmtl/gateway/v1/rebalancing_execution_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { type OpenServer, openGrpcServer, type SchemaRangeOf, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type CommandOutcome, runInProcess } from "./testing/run-in-process.ts";

const trend = "s-00000000000000aa";
const allocations = [
  { worldId: "demo", ratio: 0.9, strategies: [{ strategyId: trend, share: 1 }] },
];
const REQUEST = {
  allocations: [{ world_id: "demo", ratio: 0.9 }],
  books: { equity: { value: "1000" } },
};

const NET_ORDER = { instrument: "X", quantity: { value: "0.4" }, reduceOnly: true };

/** What the fake was asked, newest last. */
let asked: Record<string, unknown>[] = [];

/** A plan; alpha metrics for those who speak version 2. */
const planFor = (version: number | undefined) => ({
  planId: "plan-1",
  deltas: [{ strategyId: trend, instrument: "X", quantity: { value: "0.5" } }],
  netDeltas: [{ worldId: "demo", instrument: "X", quantity: { value: "0.5" } }],
  allocations,
  ...(version === 2
    ? {
        alphaMetrics: {
          perWorld: { demo: { values: { "alpha_performance.sharpe": 1.25 }, samples: 40 } },
          perStrategy: { [`demo/${trend}`]: { values: { "alpha_performance.sharpe": 1.5 } } },
        },
      }
    : {}),
});

const rebalancing = serve(RebalancingService, {
  planRebalance: async (request, { schemaVersion }) => {
    const { min, max } = request.schemaVersion ?? {};
    asked.push({ method: "plan", min, max, equity: request.books?.equity?.value });
    return { plan: planFor(schemaVersion) };
  },
  upsertAllocations: async ({ requestId, allocations: wanted, reason }) => {
    asked.push({ method: "upsert", requestId, worlds: wanted.length, reason });
    return { allocations: wanted, etag: "e1" };
  },
  listAllocations: async ({ worldId }) => ({
    allocations: allocations.filter((each) => worldId === "" || each.worldId === worldId),
  }),
});
const plannedOrders = [
  { worldId: "demo", strategyId: trend, instrument: "X", quantity: { value: "0.5" } },
  NET_ORDER,
];
const execution = serve(RebalancingExecutionService, {
  previewRebalance: async ({ order, perStrategy }, { schemaVersion }) => {
    asked.push({ method: "preview", account: order?.accountId, perStrategy });
    return { plan: planFor(schemaVersion), orders: plannedOrders };
  },
  executeRebalance: async ({ batchId, reason }, { schemaVersion }) => {
    asked.push({ method: "execute", batchId, reason });
    return { plan: planFor(schemaVersion), orders: plannedOrders };
  },
});

let folder: string;
let servers: Record<1 | 2, OpenServer>;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "qmtl-rebalance-"));
  writeFileSync(join(folder, "request.json"), JSON.stringify(REQUEST));
  const open = (max: number): Promise<OpenServer> => {
    const schemaRange: SchemaRangeOf = () => ({ min: 1, max });
    return openGrpcServer({ services: [rebalancing, execution], schemaRange });
  };
  servers = { 1: await open(1), 2: await open(2) };
});
afterAll(async () => {
  await Promise.all(Object.values(servers).map((server) => server.close()));
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked = [];
});

function rebalance(speaks: 1 | 2, ...args: readonly string[]): Promise<CommandOutcome> {
  const url = `http://127.0.0.1:${servers[speaks].port}`;
  const words = args.map((word) => word.replace("$", folder));
  return runInProcess("--gateway-url", url, "rebalance", ...words);
}

const ofBooks = ["--account", "main", "--world", `demo=0.9:${trend}=1`];

describe("a plan of a file", () => {
  test("is asked for in version 2 with its alpha metrics, which are printed", async () => {
    const { exitCode, out, err } = await rebalance(
      ...([2, "plan", "--file", "$/request.json", "--schema-version", "2"] as const),
    );

    expect({ exitCode, err }).toEqual({ exitCode: 0, err: [] });
    expect(asked).toEqual([{ method: "plan", min: 1, max: 2, equity: "1000" }]);
    expect(out.join("\n")).toMatch(/world +demo +alpha_performance\.sharpe +1\.25000 +40/);
    expect(out.join("\n")).toMatch(/strategy +demo\/s-0+aa +alpha_performance\.sharpe +1\.50000/);
    expect(out.at(-1)).toBe("plan-1: a what-if; nothing was stored or sent");
  });

  test("is of version 1 unless more is asked for", async () => {
    const { out } = await rebalance(2, "plan", "--file", "$/request.json", "--json");

    expect(asked).toMatchObject([{ min: 1, max: 1 }]);
    expect(JSON.parse(out[0]!).plan.alpha_metrics).toBeUndefined();
  });

  test("says so when the platform speaks an older version than was asked for", async () => {
    const { exitCode, err } = await rebalance(
      ...([1, "plan", "--file", "$/request.json", "--schema-version", "2"] as const),
    );

    expect(exitCode).toBe(0);
    expect(err[0]).toMatch(/^note: answered in schema version 1; .*compat_rebalance_v2/);
  });

  test("states the version itself where the file does", async () => {
    const file = join(folder, "second.json");
    writeFileSync(file, JSON.stringify({ ...REQUEST, schema_version: { min: 2, max: 2 } }));
    await rebalance(2, "plan", "--file", file);

    expect(asked).toMatchObject([{ min: 2, max: 2 }]);
  });
});

test("a plan with the account's own books is a preview of the gateway", async () => {
  const { out } = await rebalance(2, "plan", ...ofBooks, "--schema-version", "2", "--json");

  expect(asked).toMatchObject([{ method: "preview", account: "main", perStrategy: true }]);
  const { per_world } = JSON.parse(out[0]!).plan.alpha_metrics;
  expect(per_world.demo.values["alpha_performance.sharpe"]).toBe(1.25);
});

test("a plan separates the account's net orders from those of its strategies", async () => {
  const { out } = await rebalance(1, "plan", ...ofBooks);

  expect(out).toEqual(
    expect.arrayContaining([
      `outside, of ${trend}: 0.5 X`,
      "outside, net of the account: 0.4 X, reduce-only",
    ]),
  );
});

test("the allocations of a plan as it was printed, or made now, are stored under the run's id", async () => {
  const { out } = await rebalance(1, "plan", ...ofBooks, "--json");
  writeFileSync(join(folder, "plan.json"), out[0]!);
  const first = await rebalance(1, "apply", "--file", "$/plan.json", "--run", "move", "--json");
  const again = await rebalance(1, "apply", ...ofBooks, "--run", "again");

  expect(JSON.parse(first.out[0]!)).toMatchObject({ plan_id: "plan-1", etag: "e1" });
  expect(asked.filter(({ method }) => method === "upsert")).toEqual([
    { method: "upsert", requestId: "move", worlds: 1, reason: "plan plan-1" },
    { method: "upsert", requestId: "again", worlds: 1, reason: "plan plan-1" },
  ]);
  expect(again.out).toEqual([
    `demo: 0.9 of equity (${trend} 1)`,
    "the allocations of plan-1 are stored",
  ]);
});

test("allocations in force are listed, of one world or all", async () => {
  const all = await rebalance(1, "allocations");
  const none = await rebalance(1, "allocations", "--world", "other");

  expect(all.out).toEqual([`demo: 0.9 of equity (${trend} 1)`]);
  expect(none.out).toEqual(["(none)"]);
});

test.each([
  ["demo=abc", "demo=abc is not a share of 0..1"],
  ["demo=1.2.3", "demo=1.2.3 is not a share of 0..1"],
  ["demo=1.5", "demo=1.5 is not a share of 0..1"],
  ["demo=-1", "demo=-1 is not a share of 0..1"],
  ["demo=", "demo= is not a share of 0..1"],
  [`demo=0.5:${trend}=x`, `${trend}=x is not a share of 0..1`],
  [`demo=0.5:${trend}`, `${trend}= is not a share of 0..1`],
  [`demo=0.5:${trend}=0.1=0.2`, "is not STRATEGY=SHARE"],
  ["demo", "it has another form"],
])("--world %s is refused before anybody is asked", async (world, why) => {
  for (const words of [
    ["plan", "--account", "main"],
    ["execute", "--account", "main", "--batch", "b", "--reason", "x"],
    ["allocate", "--run", "r"],
    ["apply", "--account", "main", "--run", "r"],
  ]) {
    const { exitCode, err } = await rebalance(1, ...words, "--world", world, "--json");
    expect(exitCode).toBe(2);
    const { error, hint } = JSON.parse(err[0]!);
    expect(error).toContain(`--world ${world}: `);
    expect(error).toContain(why);
    expect(hint).toContain("WORLD=RATIO");
  }
  expect(asked).toEqual([]);
});

test.each([
  [["plan"], /--account and --world, or --file/],
  [["plan", "--file", "$/request.json", "--account", "main"], /leave --account and --world out/],
  [["plan", "--file", "$/none.json"], /cannot read/],
  [["plan", "--file", "$/request.json", "--schema-version", "3"], /Allowed choices are 1, 2/],
  [["apply", "--run", "r"], /--file, or --account and --world/],
  [
    ["apply", "--run", "r", "--file", "$/request.json", ...ofBooks],
    /--account, --world: no effect with --file/,
  ],
  [["apply", "--run", "r", "--file", "$/request.json"], /does not contain a RebalancePlan/],
])("%j is a usage error", async (words, error) => {
  const { exitCode, err } = await rebalance(1, ...words);

  expect(exitCode).toBe(2);
  expect(err[0]).toMatch(error);
  expect(asked).toEqual([]);
});

test("a batch is executed under its id, with its reason", async () => {
  const { exitCode, out } = await rebalance(
    ...([1, "execute", ...ofBooks, "--batch", "b-1", "--reason", "more for trend"] as const),
  );

  expect(exitCode).toBe(0);
  expect(asked).toEqual([{ method: "execute", batchId: "b-1", reason: "more for trend" }]);
  expect(out.at(-1)).toMatch(/^executed; costs saved by crossing/);
});
