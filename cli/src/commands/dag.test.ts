import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { nodeId, nodeIdsCrc32 } from "@qmtl/core/canonical";
import { type OpenServer, openGrpcServer, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type CommandOutcome, runInProcess } from "./testing/run-in-process.ts";

const content = {
  node_type: "StreamInput",
  interval_seconds: 60,
  period: 1,
  params: {},
  inputs: [],
  schema_compat_id: "bars/1",
  code_hash: "blake3:00",
};
const id = nodeId(content);
const GRAPH = {
  nodes: [
    {
      node_id: id,
      node_type: content.node_type,
      interval_seconds: "60",
      period: 1,
      params_json: "{}",
      columns: [{ name: "value", kind: "COLUMN_KIND_F64" }],
      schema_compat_id: content.schema_compat_id,
      code_hash: content.code_hash,
      name: "bars",
    },
  ],
};

/** What the fake was asked, newest last. */
let asked: { readonly method: string; readonly request: unknown }[] = [];

const queue = (name: string, interval: number, tags: string[]) => ({
  queue: { queue: name, intervalSeconds: BigInt(interval), tags },
});

/** Queues on the second page of the fake. */
let more: ReturnType<typeof queue>[] = [];

const diff = serve(DiffService, {
  async *diff({ graph, validateOnly, contexts }) {
    asked.push({ method: "diff", request: { validateOnly, contexts } });
    const nodeIdsCrc = nodeIdsCrc32(graph!.nodes.map((node) => node.nodeId));
    const assignments = [{ queue: { nodeId: id, queue: "bars-1m" }, nodeReused: false }];
    yield { chunk: 0, chunks: 1, assignments, nodeIdsCrc32: nodeIdsCrc };
  },
});
const queues = serve(QueueService, {
  listQueueStats: async ({ pageToken }) => {
    const first = [
      queue("a", 60, ["price", "btc"]),
      queue("b", 3_600, ["price"]),
      queue("c", 60, []),
      queue("d", 86_400, ["alpha"]),
    ];
    return pageToken === "" ? { queues: first, nextPageToken: "p2" } : { queues: more };
  },
});

let folder: string;
let server: OpenServer;
let bare: OpenServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "qmtl-dag-"));
  writeFileSync(join(folder, "graph.json"), JSON.stringify(GRAPH));
  server = await openGrpcServer({ services: [diff, queues] });
  bare = await openGrpcServer({ services: [serve(DiffService, {})] });
});
afterAll(async () => {
  await Promise.all([server.close(), bare.close()]);
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked = [];
});

const dag = (...args: readonly string[]): Promise<CommandOutcome> =>
  runInProcess("dag", "--target", `127.0.0.1:${server.port}`, ...args);
const graphFile = (): string => join(folder, "graph.json");

describe("dag stats", () => {
  const names = async (...args: readonly string[]): Promise<string[]> => {
    const { exitCode, out } = await dag("stats", "--json", ...args);
    expect(exitCode).toBe(0);
    const answer: { queues: { queue: { queue: string } }[] } = JSON.parse(out[0]!);
    return answer.queues.map((each) => each.queue.queue);
  };

  test.each(["60", "60s", "1m"])("shows the queues of interval %s alone", async (interval) => {
    expect(await names("--interval", interval)).toEqual(["a", "c"]);
  });

  test("shows those of one tag or another, of all tags, and of a tag and an interval", async () => {
    expect(await names()).toEqual(["a", "b", "c", "d"]);
    expect(await names("--tag", "btc,alpha")).toEqual(["a", "d"]);
    expect(await names("--tag", "price", "--tag", "btc", "--all")).toEqual(["a"]);
    expect(await names("--tag", "price", "--interval", "1h")).toEqual(["b"]);
  });

  test("prints intervals as people write them", async () => {
    const { out } = await dag("stats", "--tag", "price");

    expect(out[1]).toMatch(/^a +1m +price,btc /);
    expect(out[2]).toMatch(/^b +1h +price /);
  });

  test("shows the queues of every page", async () => {
    more = [queue("e", 60, ["price"])];
    const found = await names("--tag", "price");
    more = [];

    expect(found).toEqual(["a", "b", "e"]);
  });

  test("of a bad interval asks nobody", async () => {
    const { exitCode, err } = await dag("stats", "--interval", "2w");

    expect(exitCode).toBe(2);
    expect(err[0]).toContain("--interval");
  });
});

describe("dag diff", () => {
  test("of a graph in JSON at a DAG Manager stores nothing", async () => {
    const { exitCode, out } = await dag("diff", graphFile(), "--dry-run", "--json");

    expect(exitCode).toBe(0);
    expect(JSON.parse(out[0]!)).toMatchObject({
      strategy: "graph",
      new_nodes: 1,
      reused_nodes: 0,
      queues: [{ node: "bars", queue: "bars-1m", reused: false }],
    });
    expect(asked).toEqual([{ method: "diff", request: { validateOnly: true, contexts: [] } }]);
  });

  test("of a file that is no graph, or a world without its data, asks nobody", async () => {
    const bad = join(folder, "bad.json");
    writeFileSync(bad, JSON.stringify({ nodes: [{ node: 1 }] }));
    const refusals = [
      await dag("diff", bad, "--json"),
      await dag("diff", join(folder, "none.json"), "--json"),
      await dag("diff", graphFile(), "--world", "demo", "--json"),
      await runInProcess("dag", "diff", graphFile(), "--world", "demo", "--json"),
    ];

    expect(refusals.map(({ exitCode }) => exitCode)).toEqual([2, 2, 2, 2]);
    const errors = refusals.map(({ err }) => JSON.parse(err[0]!).error);
    expect(errors[0]).toMatch(/bad\.json does not contain a StrategyGraph/);
    expect(errors[1]).toMatch(/cannot read/);
    expect(errors[2]).toMatch(/leave --target out/);
    expect(errors[3]).toMatch(/give --as-of/);
    expect(asked).toEqual([]);
  });
});

describe("a DAG Manager", () => {
  test("is named before or after the command", async () => {
    const target = `http://127.0.0.1:${server.port}`;
    const after = await runInProcess("dag", "stats", "--json", "--target", target);
    const before = await runInProcess("dag", "--target", target, "stats", "--json");

    expect(after.exitCode).toBe(0);
    expect(before.out).toEqual(after.out);
  });

  test("that does not answer is exit 3, with the fix", async () => {
    const { exitCode, err } = await runInProcess(
      ...["dag", "stats", "--json", "--target", "http://127.0.0.1:1"],
    );

    expect(exitCode).toBe(3);
    expect(JSON.parse(err[0]!)).toMatchObject({
      error: expect.stringContaining("the DAG Manager at http://127.0.0.1:1 does not answer"),
      reason: "PEER_UNAVAILABLE",
      hint: expect.stringContaining("correct --target"),
    });
  });

  test("that is no address is exit 2", async () => {
    for (const target of ["ftp://x", "http://", "::"])
      expect((await runInProcess("dag", "stats", "--target", target)).exitCode).toBe(2);
  });
});
