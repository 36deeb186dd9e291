import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { NodeStatus } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  document,
  drained,
  reason,
  reasonOf,
  refusalOf,
  WireWorlds,
} from "../testing/wire-worlds.ts";

let all: WireWorlds;
beforeAll(async () => {
  all = await WireWorlds.open();
});
afterAll(() => all[Symbol.asyncDispose]());

describe("a list in pages", () => {
  /** Reads a list page by page. */
  async function pagesOf<T>(
    read: (pageToken: string) => Promise<{ rows: readonly T[]; nextPageToken: string }>,
  ): Promise<(readonly T[])[]> {
    const pages: (readonly T[])[] = [];
    for (let pageToken = ""; ; ) {
      const { rows, nextPageToken } = await read(pageToken);
      pages.push(rows);
      if (nextPageToken === "") return pages;
      pageToken = nextPageToken;
    }
  }

  const node = (letter: string) => `blake3:${letter.repeat(64)}`;

  /** A world with five of everything. */
  async function makeFull(): Promise<string> {
    const worldId = await all.make("s5", "s4", "s3", "s2", "s1");
    for (const n of [1, 2, 3, 4, 5]) {
      await all.policies.createPolicy({ worldId, document, requestId: `p${n}` });
      const status = NodeStatus.VALID;
      const executionDomain = n === 5 ? ExecutionDomain.LIVE : ExecutionDomain.BACKTEST;
      const nodeId = node("cabbb"[n - 1] ?? "");
      await all.worlds().upsertWorldNode({ node: { worldId, nodeId, executionDomain, status } });
      await all.worlds().upsertEdgeOverride({
        edge: { worldId, source: `e${n % 2}`, target: `t${n}` },
      });
    }
    return worldId;
  }

  const lists: [
    string,
    (
      worldId: string,
      pageSize: number,
      pageToken: string,
    ) => Promise<{
      rows: readonly string[];
      nextPageToken: string;
    }>,
  ][] = [
    [
      "bindings",
      async (worldId, pageSize, pageToken) => {
        const answer = await all.worlds().listBindings({ worldId, pageSize, pageToken });
        return { ...answer, rows: answer.bindings.map((each) => each.strategyId) };
      },
    ],
    [
      "node states",
      async (worldId, pageSize, pageToken) => {
        const answer = await all.worlds().listWorldNodes({ worldId, pageSize, pageToken });
        return {
          ...answer,
          rows: answer.nodes.map((each) => `${each.nodeId[7]} ${each.executionDomain}`),
        };
      },
    ],
    [
      "edges",
      async (worldId, pageSize, pageToken) => {
        const answer = await all.worlds().listEdgeOverrides({ worldId, pageSize, pageToken });
        return { ...answer, rows: answer.edges.map((each) => `${each.source} ${each.target}`) };
      },
    ],
    [
      "policies",
      async (worldId, pageSize, pageToken) => {
        const answer = await all.policies.listPolicies({ worldId, pageSize, pageToken });
        return {
          ...answer,
          rows: answer.policies.map((each) => `${each.version}${each.document}`),
        };
      },
    ],
    [
      "audit entries",
      async (worldId, pageSize, pageToken) => {
        const answer = await all.worlds().listAuditEntries({ worldId, pageSize, pageToken });
        return { ...answer, rows: answer.entries.map((each) => String(each.entry)) };
      },
    ],
  ];

  let full: string;
  let other: string;
  beforeAll(async () => {
    full = await makeFull();
    other = await makeFull();
  });

  const ORDER: Readonly<Record<string, readonly string[]>> = {
    bindings: ["s1", "s2", "s3", "s4", "s5"],
    "node states": ["a 1", "b 1", "b 3", "c 1"],
    edges: ["domain:backtest domain:live", "e0 t2", "e0 t4", "e1 t1", "e1 t3", "e1 t5"],
    policies: ["5", "4", "3", "2", "1"],
  };

  test.each(lists)("of %s holds each row once, in order, whatever the size", async (name, list) => {
    const whole = await list(full, 0, "");
    expect(whole.nextPageToken).toBe("");
    if (ORDER[name] !== undefined) expect(whole.rows).toEqual(ORDER[name]);
    for (const size of [1, 2, 3]) {
      const pages = await pagesOf((pageToken) => list(full, size, pageToken));
      expect(pages.flat()).toEqual(whole.rows);
      expect(pages.slice(0, -1).every((page) => page.length === size)).toBe(true);
    }
  });

  test.each(lists)("of %s takes no token of another world, list or text", async (_, list) => {
    const { nextPageToken } = await list(full, 1, "");
    const foreign = await all.worlds().listWorlds({ pageSize: 1 });
    const refused = { reason: "PAGE_TOKEN_INVALID", fields: ["page_token"] };
    for (const call of [
      list(other, 1, nextPageToken),
      list(full, 1, foreign.nextPageToken),
      list(full, 1, "1"),
      list(full, 1, `${nextPageToken}x`),
    ]) {
      expect(await refusalOf(call)).toEqual(refused);
    }
    expect(await reasonOf(list(full, -1, ""))).toBe("INVALID_FIELD");
    expect(await reasonOf(list("nowhere", 1, ""))).toBe("WORLD_NOT_FOUND");
  });

  test("of worlds, allocations, metrics and runs holds each row once", async () => {
    const byWorld = await pagesOf(async (pageToken) => {
      const answer = await all.worlds().listWorlds({ pageSize: 3, pageToken });
      return { ...answer, rows: answer.worlds.map((each) => each.worldId) };
    });
    const allocated = await pagesOf(async (pageToken) => {
      const answer = await all.rebalancing.listAllocations({ pageSize: 3, pageToken });
      return { ...answer, rows: answer.allocations.map((each) => each.worldId) };
    });
    const metrics = await pagesOf(async (pageToken) => {
      const answer = await all.decisions.listMetrics({ pageSize: 7, pageToken });
      return { ...answer, rows: answer.metrics.map((each) => each.name) };
    });
    const { metrics: known } = await all.decisions.listMetrics({ pageSize: 1_000 });

    expect(byWorld.flat()).toEqual([...new Set(byWorld.flat())].sort());
    expect(byWorld.flat()).toContain(full);
    expect(allocated.flat()).toEqual(byWorld.flat());
    expect(metrics.flat()).toEqual(known.map((each) => each.name));

    const worldId = await all.makeActive();
    const targetMode = EffectiveMode.COMPUTE_ONLY;
    for (const runId of ["r2", "r3"])
      await drained(all.activations.apply({ worldId, runId, targetMode, reason }));
    const runs = await pagesOf(async (pageToken) => {
      const answer = await all.activations.listApplyRuns({ worldId, pageSize: 2, pageToken });
      return { ...answer, rows: answer.runs.map((each) => each.runId) };
    });
    expect(runs).toEqual([["r3", "r2"], ["r"]]);
  });
});
