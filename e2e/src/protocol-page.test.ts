import { readFileSync } from "node:fs";
import { blake3Hex, type CanonicalNode, computeKey, jcs, nodeId } from "@qmtl/core/canonical";
import { type GateState, stateHash } from "@qmtl/core/gate";
import { CsvSource, column, PositionTargetNode, Strategy, StreamInput } from "@qmtl/sdk";
import { identifyStrategy } from "@qmtl/sdk/platform";
import { describe, expect, test } from "vitest";

const page = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");
const hash = (text: string): string => `blake3:${blake3Hex(text)}`;

/** The canonical texts of nodes that the page shows, without the line breaks of its layout. */
function nodesOnPage(): string[] {
  const blocks = [
    ...page.matchAll(/```\n(\{"code_hash"[\s\S]*?\})\s*(?:\(one line[^)]*\))?\n```/g),
  ];
  return blocks.map(([, text = ""]) => text.replaceAll(/\n */g, ""));
}

/** The gate state that the page describes in words. */
const gate: GateState = {
  worldId: "w1",
  storeEpoch: 1,
  revision: 7,
  fence: 3,
  gate: "OPEN",
  holds: [],
  runId: "r1",
  phase: "UNFROZEN",
  decision: { id: "d-1", mode: "paper" },
  requiredRevision: 6,
  activations: [
    { strategyId: "s-a", side: "long", active: true, weight: 1, effectiveMode: "paper" },
    { strategyId: "s-a", side: "short", active: false, weight: 0.5, effectiveMode: "paper" },
    { strategyId: "s-b", side: "long", active: true, weight: 1, effectiveMode: "compute-only" },
  ].map((each) => ({ ...each, freeze: false, drain: false })) as GateState["activations"],
};

class Bars extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({
      source: "sp500",
      columns: ["open", "high", "low", "close"],
      instrument: "SPX",
      interval: "1d",
    });
    const thresholds = { longEnter: 1, longExit: 0 };
    const signal = column(bars, "close");
    this.addNodes([new PositionTargetNode({ signal, instrument: "SPX", thresholds })]);
  }
}

describe("docs/protocol.md", () => {
  test("shows canonical texts of nodes, each with its id", () => {
    const texts = nodesOnPage();
    const nodes = texts.map((text) => JSON.parse(text) as CanonicalNode);

    expect(texts).toHaveLength(2);
    expect(nodes.map((node) => jcs(node))).toEqual(texts);
    for (const node of nodes) expect(page).toContain(`\`${nodeId(node)}\``);
    expect(nodes[1]?.inputs).toEqual([{ port: "bars", node_id: nodeId(nodes[0]!) }]);
  });

  test("names the stream that the SDK declares", () => {
    const { graph } = identifyStrategy(Bars, { worldId: "w" });
    const streams = graph.nodes.filter(({ declared }) => declared.node instanceof StreamInput);

    expect(streams.map(({ id }) => id)).toEqual([hash(nodesOnPage()[0]!)]);
  });

  test("states no hash that the code does not compute", () => {
    const [stream = "", own = ""] = nodesOnPage().map((text) => hash(text));
    const foreign = { recipe: "qmtl-foreign/1", language: "python", name: "acme.signals.momentum" };
    const key = {
      nodeId: nodeId(JSON.parse(nodesOnPage()[1]!) as CanonicalNode),
      worldId: "poly",
      executionDomain: "backtest",
      asOf: "py-1",
      partition: "global",
    } as const;
    const computed = [
      hash("builtin:stream_input@1"),
      stream,
      own,
      hash(jcs({ ...foreign, version: "3" })),
      computeKey(key),
      stateHash(gate, "*", hash),
      stateHash(gate, ["s-a"], hash),
    ];

    const stated = new Set(page.match(/blake3:[0-9a-f]{64}/g));
    expect([...stated].sort()).toEqual([...new Set(computed)].sort());
  });

  test("says what the fingerprint of a replayed file is made of", async () => {
    const path = new URL("../../examples/data/sp500.csv", import.meta.url).pathname;
    const [, keys = ""] = /JCS\((\{"columns":null.*?\})\)\)/.exec(page) ?? [];
    const text = keys.replace("CONTENT", `"${blake3Hex(readFileSync(path))}"`);

    const source = new CsvSource({ path, interval: "1d" });
    expect(hash(jcs(JSON.parse(text)))).toBe(await source.datasetFingerprint());
  });
});
