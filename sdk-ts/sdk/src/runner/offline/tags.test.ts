import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ColumnKind, QueueDescriptorSchema } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { nodeIdsCrc32 } from "@qmtl/core/canonical";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadConfig, type QmtlConfig } from "../../config/index.ts";
import {
  PositionTargetNode,
  Strategy,
  StreamInput,
  TagQueryNode,
  type Window,
} from "../../strategy/index.ts";
import { Runner } from "../runner.ts";
import { TagMapFile, tagMapCrc32 } from "../source-files/tag-map-file.ts";

let folder: string;
let config: QmtlConfig;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "offline-tags-"));
  const days = Array.from({ length: 20 }, (_, k) => new Date(Date.UTC(2020, 0, k + 1)));
  const write = (name: string, close: (k: number) => number): void => {
    const rows = days.map((day, k) => {
      const price = close(k);
      return [day.toISOString().slice(0, 10), price, price, price, price].join(",");
    });
    writeFileSync(join(folder, name), `date,open,high,low,close\n${rows.join("\n")}\n`);
  };
  write("a.csv", (k) => 100 + (k % 4));
  write("b.csv", (k) => 10 + (k % 3));
  writeFileSync(
    join(folder, "qmtl.yml"),
    `sources: {A: {file: a.csv, interval: 1d}, B: {file: b.csv, interval: 1d}}
instruments: {X: {mark_source: A}}
accounts: {main: {instruments: [X]}}
cache: {tagquery_cache_path: tagmap.json}
`,
  );
  config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
});
afterEach(() => rmSync(folder, { recursive: true }));

const query = new TagQueryNode({
  queryTags: ["crypto", "alt"],
  interval: "1d",
  period: 1,
  compute: (windows: readonly Window[]) => {
    let sum = 0;
    for (const window of windows) sum += window.latest();
    return sum;
  },
});

class Asker extends Strategy {
  static readonly module = import.meta.url;
  override setup(): void {
    const thresholds = { longEnter: 114, longExit: 112 };
    this.addNodes([new PositionTargetNode({ signal: query, instrument: "X", thresholds })]);
  }
}

class AskerOfItself extends Asker {
  override setup(): void {
    const bars = { source: "A", columns: ["close"], interval: "1d" };
    this.addNodes([new StreamInput({ ...bars, tags: ["crypto"] })]);
    super.setup();
  }
}

const queueOf = (source: string) =>
  create(QueueDescriptorSchema, {
    queue: `q-${source}`,
    nodeId: `blake3:${source.toLowerCase().repeat(64)}`,
    source,
    columns: [{ name: "close", kind: ColumnKind.F64 }],
  });
const asked = { node: query, intervalSeconds: 86_400 };

describe("a tag query offline", () => {
  test("reads what it found last online, from the sources of the configuration", async () => {
    const problems: string[] = [];
    const file = new TagMapFile(config.cache.tagquery_cache_path, (one) => problems.push(one));
    file.put(asked, [queueOf("A"), queueOf("B"), queueOf("C")]);

    const told: string[] = [];
    const result = await Runner.offline(Asker, { config, onProblem: (one) => told.push(one) });

    // 100 + (k mod 4) + 10 + (k mod 3) reaches 114 first with k = 2; the order fills at the next open.
    expect(result.fills[0]?.eventTimeMs).toBe(Date.UTC(2020, 0, 1 + 3));
    expect(problems).toEqual([]);
    expect(told).toEqual(['queue q-C of the tag map is left out: "sources:" has no entry for it']);
  });

  test("finds the strategy's own streams that carry a tag", async () => {
    const result = await Runner.offline(AskerOfItself, { config });

    expect(result.fills).toEqual([]); // 103 at most
    expect(result.evaluations.size).toBe(2);
  });

  test("is refused when nothing is known, and when the tag map was damaged", async () => {
    await expect(Runner.offline(Asker, { config })).rejects.toThrow("no queue carries the tags");
    new TagMapFile(config.cache.tagquery_cache_path, () => {}).put(asked, [queueOf("A")]);
    const path = join(folder, "tagmap.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("q-A", "q-B"));

    const told: string[] = [];
    const run = Runner.offline(Asker, { config, onProblem: (one) => told.push(one) });

    await expect(run).rejects.toThrow("no queue carries the tags");
    expect(told[0]).toMatch(/its checksum is wrong/);
  });
});

describe("the checksum of the tag map", () => {
  const url = new URL("../../../../../e2e/vectors/crc.json", import.meta.url);
  const { cases } = JSON.parse(readFileSync(url, "utf8")) as {
    cases: { id: string; input: string[]; expected: number }[];
  };

  test.each(cases)("is continued over texts as in vector $id", ({ input, expected }) => {
    expect(nodeIdsCrc32(input)).toBe(expected);
    expect(tagMapCrc32(Object.fromEntries(input.map((key) => [key, []])))).toBe(expected);
  });

  test("covers every queue, and does not depend on the order of the queries", () => {
    const one = { queue: "q", node_id: "n", source: "A", columns: 1 };

    expect(tagMapCrc32({ a: [one], b: [] })).toBe(tagMapCrc32({ b: [], a: [one] }));
    expect(tagMapCrc32({ a: [one] })).not.toBe(tagMapCrc32({ a: [{ ...one, columns: 2 }] }));
  });
});
