import { create } from "@bufbuild/protobuf";
import { NodeSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { WorldSchema } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { expect, test } from "vitest";
import { checkClocks } from "./check-clocks.ts";

const config = {
  sources: {
    ...{ day: { adapter: "csv-replay" }, week: { adapter: "csv-replay" } },
    rates: { adapter: "csv-replay" },
  },
  instruments: {
    X: { mark_source: "week", funding: null },
    P: { mark_source: "trades", funding: { source: "rates", column: "rate" } },
  },
  accounts: { main: { instruments: ["X"] }, funded: { instruments: ["P"] } },
} as unknown as Parameters<typeof checkClocks>[0]["config"];

/** A node that reads a source. */
const stream = (source: string, adapter: string) =>
  create(NodeSchema, { nodeId: source, source: { source, adapter } });
const live = stream("trades", "socket");
const other = stream("quotes", "socket");
const day = stream("day", "csv-replay");

interface Found {
  readonly world?: { source?: string; accountId?: string };
  /** What other strategies of the world read, and whether that is replayed. */
  readonly read?: Readonly<Record<string, boolean>>;
}

/** Checks a graph that joins world w. */
function check(nodes: Parameters<typeof checkClocks>[1], { world, read = {} }: Found = {}) {
  const ports = {
    config,
    keys: {
      isReplay: (source: string) => read[source],
      hasKind: (isReplay: boolean) => Object.values(read).includes(isReplay),
    },
    readIn: async () => Object.keys(read),
  };
  return checkClocks(ports, nodes, [create(WorldSchema, { worldId: "w", ...world })]);
}

test("replayed and live sources in one graph are refused as CLOCK_MIXED, by the second one's field", async () => {
  await expect(check([day, live])).rejects.toMatchObject({
    reason: "CLOCK_MIXED",
    message: "graph.nodes[1].source: day is replayed and trades is live",
    fields: [{ field: "graph.nodes[1].source" }],
  });
  await expect(check([live, other])).resolves.toBeUndefined();
});

test("a graph that calls a replayed source of the configuration live is refused as CLOCK_MIXED", async () => {
  await expect(check([stream("day", "socket")])).rejects.toMatchObject({
    reason: "CLOCK_MIXED",
    fields: [{ field: "graph.nodes[0].source.adapter" }],
  });
});

test.each<[string, Found, string]>([
  ["the world's own source", { world: { source: "day" } }, "day"],
  ["a mark source of its account", { world: { accountId: "main" } }, "week"],
  ["a source of funding of its account", { world: { accountId: "funded" } }, "rates"],
  ["what another of its strategies reads", { read: { day: true } }, "day"],
])("a live source does not join a world with a replayed one: %s", async (_, found, met) => {
  await expect(check([live], found)).rejects.toMatchObject({
    reason: "CLOCK_MIXED",
    message: `world_ids[0]: trades is live and ${met} is replayed in world w; use another world and account`,
  });
});

test("a replayed source does not join a world whose strategies read a live one", async () => {
  await expect(check([day], { read: { trades: false } })).rejects.toMatchObject({
    reason: "CLOCK_MIXED",
    fields: [{ field: "world_ids[0]" }],
  });
  await expect(check([day], { read: { week: true } })).resolves.toBeUndefined();
});
