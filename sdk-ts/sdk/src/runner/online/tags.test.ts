import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import {
  PositionTargetNode,
  Strategy,
  StreamInput,
  sma,
  TagQueryNode,
  type Window,
} from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { singleRecords } from "./log/wire-records.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineRun } from "./session/online-run.ts";

const historyRows = 8;
const feedRows = 12;
const rows = replayBars(historyRows, feedRows);
const lastRow = historyRows + feedRows - 1;

class Feeder extends Strategy {
  readonly source: string;
  readonly tags: readonly string[];
  constructor(source: string, tags: readonly string[]) {
    super({ name: `Feeder-${source}`, defaultInterval: "1d", defaultPeriod: 1 });
    this.source = source;
    this.tags = tags;
  }
  setup(): void {
    const bars = new StreamInput({ source: this.source, columns: ["close"], tags: this.tags });
    this.addNodes([sma(bars, 2)]);
  }
}

class Asker extends Strategy {
  readonly queryTags: readonly string[];
  readonly matchMode: "any" | "all";
  constructor(queryTags: readonly string[], matchMode: "any" | "all" = "any") {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
    this.queryTags = queryTags;
    this.matchMode = matchMode;
  }
  setup(): void {
    const total = new TagQueryNode({
      queryTags: this.queryTags,
      matchMode: this.matchMode,
      interval: "1d",
      compute: (windows: readonly Window[]) => {
        let sum = 0;
        for (const window of windows) sum += window.latest();
        return sum;
      },
    });
    const thresholds = { longEnter: 50 };
    this.addNodes([new PositionTargetNode({ signal: sma(total, 3), instrument: "X", thresholds })]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-tags-"));
writeFileSync(
  join(folder, "qmtl.yml"),
  `sources: {A: {file: a.csv, interval: 1d}, B: {file: b.csv, interval: 1d}}
instruments: {X: {mark_source: A, lot: "0.1"}}
accounts: {paper: {instruments: [X]}}
cache: {tagquery_cache_path: tagmap.json}
`,
);
const config = loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
afterAll(() => rmSync(folder, { recursive: true }));

const open: OnlineRun[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((run) => run.stop()));
});

const known = new Map<string, ReturnType<typeof identifyStrategy>>();

/** Hashing a module takes a while; equal strategies are hashed once. */
function identified(strategy: Strategy): ReturnType<typeof identifyStrategy> {
  const name = JSON.stringify(strategy);
  let found = known.get(name);
  if (found === undefined) {
    found = identifyStrategy(strategy, { worldId: "w1", module: fileURLToPath(import.meta.url) });
    known.set(name, found);
  }
  return found;
}

async function start(gateway: FakeGateway, strategy: Strategy, sessionId: string) {
  const problems: string[] = [];
  const run = await runOnline(identified(strategy), {
    worldId: gateway.worldId,
    config,
    connection: gateway.connection(),
    loadRows: async () => rows,
    sessionId,
    onProblem: (problem) => problems.push(problem),
  });
  open.push(run);
  return { run, problems };
}

const close = (row: number): number => rows.column("close")[row]!;

/** Row and value of every row of the strategy's tag query. */
function answersOf(gateway: FakeGateway, strategy: Strategy): (readonly [number, number])[] {
  const { nodes } = identified(strategy).graph;
  const query = nodes.find(({ declared }) => declared.node instanceof TagQueryNode)!;
  return gateway.log.records(gateway.key(query.id)).flatMap((record) =>
    [...singleRecords(record)].flatMap(({ content, row }) => {
      return content === undefined ? [] : [[row!, content.values[0]!] as const];
    }),
  );
}

describe("a tag query", () => {
  test("reads the queue that another strategy publishes, and ends its feed's buckets", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const feeder = await start(gateway, new Feeder("A", ["crypto"]), "feeder");
    await waitUntil(() => gateway.runners.has("feeder"), "the feeder in the runner set");
    const asker = await start(gateway, new Asker(["crypto", "other"]), "asker");
    await waitUntil(() => gateway.barrier.runnersOf("A").has("asker"), "the asker in the set");

    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([feeder.run.done, asker.run.done]);

    const answers = answersOf(gateway, new Asker(["crypto", "other"]));
    expect(answers.at(-1)).toEqual([lastRow, close(lastRow)]);
    for (const [row, value] of answers) expect(value).toBe(close(row));
    expect(answers.length).toBeGreaterThanOrEqual(feedRows - 1);
    const ends = gateway.targets
      .filter(({ sessionId }) => sessionId === "asker")
      .flatMap(({ update }) => update.ends);
    expect(ends.map(({ source, row }) => [source, Number(row)])).toEqual(
      Array.from({ length: feedRows }, (_, at) => ["A", historyRows + at]),
    );
    expect(gateway.log.voidRecords).toBe(0);
  });

  test("a queue that comes to match is an input from the next bucket on, with match mode any", async () => {
    const gateway = new FakeGateway();
    const heldRow = historyRows + 5;
    gateway.advance(heldRow);
    const feeder = await start(gateway, new Feeder("A", ["crypto"]), "feeder");
    const asker = await start(gateway, new Asker(["crypto"]), "asker");
    await waitUntil(
      () => gateway.barrier.runnersOf("A").get("asker") === heldRow,
      "the first queue alone",
    );

    const second = await start(gateway, new Feeder("B", ["crypto"]), "second");
    await waitUntil(
      () => gateway.barrier.runnersOf("B").has("asker"),
      "the asker in the other set",
    );
    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([feeder.run.done, second.run.done, asker.run.done]);

    const answers = new Map(answersOf(gateway, new Asker(["crypto"])));
    expect(answers.get(heldRow)).toBe(close(heldRow));
    for (let row = heldRow + 1; row <= lastRow; row++)
      expect(answers.get(row)).toBe(2 * close(row));
    expect(asker.problems).toEqual([]);
  });

  test("with match mode all takes only what carries every tag", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const both = await start(gateway, new Feeder("A", ["crypto", "spot"]), "both");
    const one = await start(gateway, new Feeder("B", ["crypto"]), "one");
    await waitUntil(() => gateway.runners.has("both") && gateway.runners.has("one"), "the feeders");
    const asked = ["crypto", "spot"];
    const asker = await start(gateway, new Asker(asked, "all"), "asker");
    await waitUntil(() => gateway.barrier.runnersOf("A").has("asker"), "the asker in the set");

    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([both.run.done, one.run.done, asker.run.done]);

    const answers = answersOf(gateway, new Asker(asked, "all"));
    for (const [row, value] of answers) expect(value).toBe(close(row));
    expect(gateway.barrier.runnersOf("B").has("asker")).toBe(false);
  });

  test("waits, and says so, while no queue carries the tags", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const { run, problems } = await start(gateway, new Asker(["crypto"]), "asker");
    await waitUntil(() => problems.length > 0, "the problem");

    expect(problems[0]).toMatch(/no queue carries the tags of .*\(crypto\) yet; the run waits/);

    const feeder = await start(gateway, new Feeder("A", ["crypto"]), "feeder");
    await waitUntil(() => gateway.barrier.runnersOf("A").has("asker"), "the asker in the set");
    gateway.advance(Number.POSITIVE_INFINITY);
    await Promise.all([feeder.run.done, run.done]);
    expect(answersOf(gateway, new Asker(["crypto"])).at(-1)?.[0]).toBe(lastRow);
  });

  test("keeps what it found in the tag map, for offline runs", async () => {
    const gateway = new FakeGateway();
    const feeder = await start(gateway, new Feeder("A", ["crypto"]), "feeder");
    const asker = await start(gateway, new Asker(["crypto"]), "asker");
    await Promise.all([feeder.run.done, asker.run.done]);

    const { mappings } = JSON.parse(readFileSync(join(folder, "tagmap.json"), "utf8"));
    expect(mappings["crypto|86400|any"]).toMatchObject([{ source: "A", columns: 1 }]);
  });
});
