import { readFileSync } from "node:fs";
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import {
  asOfPins,
  type ConeNode,
  coneOfEach,
  dataOfCone,
  type PinnedData,
  unpinnedSources,
} from "./index.ts";

const textsSchema = z.record(z.string(), z.string());
const dataSchema = z.object({ as_of: z.string().nullable(), pins: textsSchema });
const golden = z
  .object({
    nodes: z.array(
      z.object({
        id: z.string(),
        inputs: z.array(z.string()),
        source: z.string().optional(),
        tag_query: z.boolean().optional(),
      }),
    ),
    cases: z.array(
      z.object({ id: z.string(), name: z.string(), data: dataSchema, as_of: textsSchema }),
    ),
  })
  .parse(
    JSON.parse(
      readFileSync(new URL("../../../../e2e/vectors/as-of.json", import.meta.url), "utf8"),
    ),
  );

/** The strategy's data as the vectors state it: pins make the as-of, which is empty in live and shadow. */
function dataOf({ as_of: asOf, pins }: z.infer<typeof dataSchema>): PinnedData {
  if (asOf === null) return { asOf: "", pins: {} };
  return { asOf: asOf === "" ? asOfPins(pins) : asOf, pins };
}

const coneNode = (node: (typeof golden.nodes)[number]): ConeNode => ({
  nodeId: node.id,
  inputs: node.inputs.map((nodeId) => ({ nodeId })),
  ...(node.source === undefined ? {} : { source: { source: node.source } }),
  ...(node.tag_query === true ? { tagQuery: {} } : {}),
});

describe("golden vectors", () => {
  const cones = coneOfEach(golden.nodes.map(coneNode));

  test.each(golden.cases)("$id: $name", ({ data, as_of: expected }) => {
    const found = Object.keys(expected).map((nodeId) => {
      return [nodeId, dataOfCone(dataOf(data), cones.get(nodeId)!).asOf];
    });
    expect(Object.fromEntries(found)).toEqual(expected);
  });
});

const sourceNames = ["a", "b", "c", "constructor", "__proto__"];
const fingerprints = ["1", "2"];

interface Drawn {
  readonly nodes: readonly ConeNode[];
  readonly pins: readonly [ReadonlyMap<string, string>, ReadonlyMap<string, string>];
}

/** A graph in order, each node with up to three of those before it, and two ways to pin all its sources. */
const drawn: fc.Arbitrary<Drawn> = fc
  .array(
    fc.record({
      kind: fc.constantFrom("source", "plain", "plain", "plain", "query"),
      source: fc.constantFrom(...sourceNames),
      inputs: fc.array(fc.nat(), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 24 },
  )
  .chain((rows) => {
    const nodes = rows.map(({ kind, source, inputs }, at): ConeNode => {
      const before = at === 0 || kind !== "plain" ? [] : inputs;
      return {
        nodeId: `n${at}`,
        inputs: before.map((input) => ({ nodeId: `n${input % at}` })),
        ...(kind === "source" ? { source: { source } } : {}),
        ...(kind === "query" ? { tagQuery: {} } : {}),
      };
    });
    const names = [...new Set(nodes.flatMap(({ source }) => (source ? [source.source] : [])))];
    const way = fc
      .tuple(...names.map(() => fc.constantFrom(...fingerprints)))
      .map((values) => new Map(names.map((name, at) => [name, values[at]!])));
    return fc.tuple(way, way).map((pins) => ({ nodes, pins }));
  });

/** What a node sees, found by a walk over everything it reads: a second implementation, slow and without cones. */
function seenBy(nodes: readonly ConeNode[], nodeId: string, pins: ReadonlyMap<string, string>) {
  const byId = new Map(nodes.map((node) => [node.nodeId, node]));
  const reached = new Set<string>();
  const waiting = [nodeId];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (reached.has(id)) continue;
    reached.add(id);
    waiting.push(...byId.get(id)!.inputs.map((input) => input.nodeId));
  }
  const all = [...reached].map((id) => byId.get(id)!);
  const isOpen = all.some(({ tagQuery }) => tagQuery !== undefined);
  const names = new Set(all.flatMap(({ source }) => (source ? [source.source] : [])));
  const seen = [...pins].filter(([name]) => isOpen || names.has(name));
  return { isOpen, seen: seen.sort(([a], [b]) => (a < b ? -1 : 1)) };
}

function slowAsOf({ isOpen, seen }: ReturnType<typeof seenBy>): string {
  if (seen.length === 0) return "none";
  if (seen.length === 1 && !isOpen) return seen[0]![1];
  const members = seen.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  return `blake3:${bytesToHex(blake3(utf8ToBytes(`{${members.join(",")}}`)))}`;
}

const strategyData = (pins: ReadonlyMap<string, string>): PinnedData => {
  const bySource = Object.fromEntries(pins);
  return { asOf: asOfPins(bySource), pins: bySource };
};

describe("any graph, pinned in two ways", () => {
  test("a node's as-of is that of what it sees, and two are equal only if it sees the same", () => {
    fc.assert(
      fc.property(drawn, ({ nodes, pins: [one, other] }) => {
        const cones = coneOfEach(nodes);
        for (const { nodeId } of nodes) {
          const cone = cones.get(nodeId)!;
          const a = dataOfCone(strategyData(one), cone);
          const b = dataOfCone(strategyData(other), cone);
          const seen = [seenBy(nodes, nodeId, one), seenBy(nodes, nodeId, other)] as const;
          expect([a.asOf, b.asOf]).toEqual(seen.map(slowAsOf));
          expect(Object.entries(a.pins).sort(([x], [y]) => (x < y ? -1 : 1))).toEqual(seen[0].seen);
          const isSame = JSON.stringify(seen[0].seen) === JSON.stringify(seen[1].seen);
          expect(a.asOf === b.asOf).toBe(isSame);
          expect(unpinnedSources(strategyData(one), cone)).toEqual([]);
        }
      }),
      { seed: 16, numRuns: 400 },
    );
  });

  test("the pins of two nodes differ exactly where they see one source with different data", () => {
    fc.assert(
      fc.property(drawn, fc.nat(), fc.nat(), ({ nodes, pins: [one, other] }, at, to) => {
        const cones = coneOfEach(nodes);
        const [left, right] = [nodes[at % nodes.length]!, nodes[to % nodes.length]!];
        const a = dataOfCone(strategyData(one), cones.get(left.nodeId)!);
        const b = dataOfCone(strategyData(other), cones.get(right.nodeId)!);
        const seen = new Map(seenBy(nodes, left.nodeId, one).seen);
        const differs = seenBy(nodes, right.nodeId, other).seen.some(
          ([name, value]) => seen.has(name) && seen.get(name) !== value,
        );
        const isPinnedTwice = Object.entries(a.pins).some(
          ([name, fingerprint]) => Object.hasOwn(b.pins, name) && b.pins[name] !== fingerprint,
        );
        expect(isPinnedTwice).toBe(differs);
      }),
      { seed: 17, numRuns: 400 },
    );
  });
});

test("a source that is not pinned is named", () => {
  const nodes: ConeNode[] = [
    { nodeId: "a", inputs: [], source: { source: "a" } },
    { nodeId: "b", inputs: [], source: { source: "b" } },
    { nodeId: "both", inputs: [{ nodeId: "a" }, { nodeId: "b" }] },
  ];
  const cone = coneOfEach(nodes).get("both")!;

  expect(unpinnedSources(strategyData(new Map([["a", "1"]])), cone)).toEqual(["b"]);
  expect(unpinnedSources({ asOf: "a day", pins: {} }, cone)).toEqual([]);
  expect(unpinnedSources({ asOf: "", pins: {} }, cone)).toEqual([]);
});

test("a chain of ten thousand nodes over a thousand sources is done at once", () => {
  const sources = Array.from({ length: 1_000 }, (_, at): ConeNode => {
    return { nodeId: `s${at}`, inputs: [], source: { source: `s${at}` } };
  });
  const nodes: ConeNode[] = [...sources, { nodeId: "all", inputs: sources }];
  for (let at = 0; at < 9_000; at += 1) {
    nodes.push({ nodeId: `n${at}`, inputs: [{ nodeId: at === 0 ? "all" : `n${at - 1}` }] });
  }

  const cones = coneOfEach(nodes);

  expect(cones.get("n8999")).toBe(cones.get("all"));
  expect(cones.get("all")!.sources.size).toBe(1_000);
});
