import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CommandOutcome, runInProcess } from "./testing/run-in-process.ts";

/** A strategy that compares two means; each part of it can be varied. */
function strategy({ window = 2, fast = "mean", body = "" } = {}): string {
  return `
import { column, ema, PositionTargetNode, sma, Strategy, StreamInput } from "@qmtl/sdk";
export class Crosser extends Strategy {
  static readonly module = import.meta.url;
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d", name: "bars" });
    const signal = sma(column(bars, "close", { name: "close" }), ${window}, { name: ${JSON.stringify(fast)} });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds, name: "target" })]);
    ${body}
  }
}
`;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "qmtl-snapshot-"));
  const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
  symlinkSync(modules, join(folder, "node_modules"));
  writeFileSync(join(folder, "first.ts"), strategy());
  writeFileSync(join(folder, "moved.ts"), `// a comment\n\n${strategy()}`);
  writeFileSync(join(folder, "wider.ts"), strategy({ window: 3 }));
  writeFileSync(join(folder, "renamed.ts"), strategy({ window: 3, fast: "slow" }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const snapshot = (...args: readonly string[]): Promise<CommandOutcome> =>
  runInProcess(
    "dag",
    "snapshot",
    "--snapshot",
    join(folder, "dag.json"),
    ...args.map((each) => each.replace("$", folder)),
  );

test("frozen ids are the same for the same strategy, wherever it is written", async () => {
  const frozen = await snapshot("--file", "$/first.ts", "--freeze");
  const text = readFileSync(join(folder, "dag.json"), "utf8");
  const same = await snapshot("--file", "$/moved.ts", "--verify", "--json");
  await snapshot("--file", "$/moved.ts", "--freeze");

  expect(frozen.exitCode).toBe(0);
  expect(frozen.out[0]).toMatch(/^4 node ids frozen in /);
  expect(same.exitCode).toBe(0);
  expect(JSON.parse(same.out[0]!)).toMatchObject({ equal: true, nodes: 4, differences: [] });
  expect(readFileSync(join(folder, "dag.json"), "utf8")).toBe(text);
});

test("a changed node is named with what changed, and so is each that reads it", async () => {
  await snapshot("--file", "$/first.ts", "--freeze");
  const { exitCode, out } = await snapshot("--file", "$/wider.ts", "--verify", "--json");

  expect(exitCode).toBe(1);
  const { equal, differences } = JSON.parse(out[0]!);
  expect(equal).toBe(false);
  expect(differences).toMatchObject([
    { kind: "changed", node: "mean", because: ["period: 2 -> 3", "param window: 2 -> 3"] },
    { kind: "changed", node: "target", because: ["reads mean, which changed"] },
  ]);
});

test("a node that is gone and one that is new are told for people, too", async () => {
  await snapshot("--file", "$/first.ts", "--freeze");
  const { exitCode, out } = await snapshot("--file", "$/renamed.ts", "--verify");

  expect(exitCode).toBe(1);
  expect(out).toEqual([
    expect.stringMatching(/^missing {2}mean {2}blake3:[0-9a-f]{64}$/),
    expect.stringMatching(/^new {6}slow {2}blake3:[0-9a-f]{64}$/),
    expect.stringMatching(/^changed {2}target {2}blake3:[0-9a-f]{64} -> blake3:[0-9a-f]{64}$/),
    expect.stringMatching(/inputs: .*mean.* -> .*slow/),
    expect.stringMatching(/^3 differences from .*freeze it again$/),
  ]);
});

test("a graph in JSON is frozen as the strategy it came from; one whose ids do not fit is refused", async () => {
  await snapshot("--file", "$/first.ts", "--freeze");
  const { graph } = JSON.parse(readFileSync(join(folder, "dag.json"), "utf8"));
  writeFileSync(join(folder, "graph.json"), JSON.stringify(graph));
  const same = await snapshot("--file", "$/graph.json", "--verify");
  graph.nodes[0].period = 7;
  writeFileSync(join(folder, "edited.json"), JSON.stringify(graph));
  const edited = await snapshot("--file", "$/edited.json", "--verify", "--json");

  expect(same.exitCode).toBe(0);
  expect(edited.exitCode).toBe(2);
  expect(JSON.parse(edited.err[0]!).error).toMatch(
    /does not match its id: its content gives blake3:/,
  );
});

test("a snapshot that is none, or was edited by hand, is a usage error with the way out", async () => {
  await snapshot("--file", "$/first.ts", "--freeze");
  const text = readFileSync(join(folder, "dag.json"), "utf8");
  const verified = async (content: string): Promise<string> => {
    writeFileSync(join(folder, "dag.json"), content);
    const { exitCode, err } = await snapshot("--file", "$/first.ts", "--verify", "--json");
    expect(exitCode).toBe(2);
    return err[0]!;
  };

  expect(await verified("{}")).toMatch(/is not a snapshot of a graph.*--freeze/);
  expect(await verified("{")).toMatch(/is not JSON/);
  expect(await verified(text.replace(/"name": "mean"/, '"name": "mean", "x": 1'))).toMatch(
    /does not contain a StrategyGraph/,
  );
  expect(await verified(text.replace(/"period": \d+/, '"period": 9'))).toMatch(/does not match/);
});

test("either freeze or verify must be said", async () => {
  for (const flags of [[], ["--freeze", "--verify"]]) {
    const { exitCode, err } = await snapshot("--file", "$/first.ts", ...flags);
    expect([exitCode, err[0]]).toEqual([2, "error: give either --freeze or --verify"]);
  }
});
