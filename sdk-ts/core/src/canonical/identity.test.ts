import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  assertNoReservedParams,
  blake3Hex,
  type CanonicalNode,
  computeKey,
  IdentityError,
  jcs,
  type NodeId,
  nodeId,
  nodeIdsCrc32,
  sourceComputeKey,
} from "./index.ts";

const golden = readVectors("identity.json");
const crc = readVectors("crc.json");

interface Vector {
  id: string;
  kind: string;
  input: never;
  expected: never;
}

function readVectors(name: string): { cases: Vector[] } {
  return JSON.parse(
    readFileSync(new URL(`../../../../e2e/vectors/${name}`, import.meta.url), "utf8"),
  );
}

/** Second implementation: canonical JSON by hand, BLAKE3 by another library. */
function slowCanonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(slowCanonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([k, v]) => `${JSON.stringify(k)}:${slowCanonical(v)}`).join(",")}}`;
}

function slowId(value: unknown): string {
  return `blake3:${bytesToHex(blake3(utf8ToBytes(slowCanonical(value))))}`;
}

const hex = (char: string) => `blake3:${char.repeat(64)}` as NodeId;
const node: CanonicalNode = {
  node_type: "ProcessingNode",
  interval_seconds: 60,
  period: 2,
  params: { scale: 1.5 },
  inputs: [
    { port: "a", node_id: hex("a") },
    { port: "b", node_id: hex("b") },
  ],
  schema_compat_id: "f64",
  code_hash: hex("c"),
};

describe("golden vectors", () => {
  const ours = { node_id: nodeId, compute_key: computeKey, source_compute_key: sourceComputeKey };
  /** Kinds that no code of this SDK makes; the second implementation checks them. */
  const unmade = new Set(["eval_key"]); // ValidationCacheService, whose keys they are, is not part of v1.

  test.each(golden.cases)("$kind $id", ({ kind, input, expected }) => {
    const { parts, ...given } = input as { parts: unknown };
    expect(slowId(parts)).toBe(expected);
    if (unmade.has(kind)) return;
    const run = ours[kind as keyof typeof ours];
    expect(
      run((kind === "source_compute_key" ? (given as { nodeId: never }).nodeId : given) as never),
    ).toBe(expected);
  });

  test.each(crc.cases)("$id", ({ input, expected }) => {
    expect(nodeIdsCrc32(input)).toBe(expected);
    expect(crc32((input as string[]).join(""))).toBe(expected);
  });
});

describe("canonical JSON", () => {
  test("follows the examples of RFC 8785", () => {
    expect(
      jcs({
        numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 1e-27],
        string: '€$\u000f\nA\'B"\\\\"/',
        literals: [null, true, false],
      }),
    ).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
    expect(
      jcs({
        "\u20ac": 1,
        "\r": 2,
        "\ufb33": 3,
        "1": 4,
        "\ud83d\ude00": 5,
        "\u0080": 6,
        "\u00f6": 7,
      }),
    ).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}');
    expect(jcs([-0])).toBe("[0]");
  });

  test.each([
    [{ a: [1, Number.NaN] }, "$.a[1]"],
    [{ a: { b: Number.POSITIVE_INFINITY } }, "$.a.b"],
    [{ a: undefined }, "$.a"],
    [[() => 1], "$[0]"],
    [{ a: 1n }, "$.a"],
    [{ a: new Map() }, "$.a"],
    [{ a: "\ud800" }, "$.a"],
  ])("refuses %o and says where", (value, path) => {
    expect(() => jcs(value)).toThrow(expect.objectContaining({ reason: "NOT_CANONICAL", path }));
  });

  test("refuses a cycle instead of running for ever", () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;

    expect(() => jcs(cycle)).toThrow(IdentityError);
    expect(() => nodeId({ ...node, params: cycle })).toThrow(IdentityError);
  });

  test("agrees with a second implementation on any JSON value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const clean: unknown = JSON.parse(JSON.stringify(value));
        expect(jcs(clean)).toBe(slowCanonical(clean));
      }),
      { seed: 1, numRuns: 300 },
    );
  });
});

describe("BLAKE3", () => {
  test("agrees with a second library", () => {
    const bytes = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);

    expect(blake3Hex(bytes)).toBe(bytesToHex(blake3(bytes)));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (data) => {
        expect(blake3Hex(data)).toBe(bytesToHex(blake3(data)));
      }),
      { seed: 2 },
    );
  });
});

describe("node ids", () => {
  test("swapped inputs give another id", () => {
    expect(nodeId({ ...node, inputs: node.inputs.toReversed() })).not.toBe(nodeId(node));
    const [a, b] = node.inputs;
    const swapped = [
      { port: "a", node_id: b!.node_id },
      { port: "b", node_id: a!.node_id },
    ];
    expect(nodeId({ ...node, inputs: swapped })).not.toBe(nodeId(node));
  });

  test("every field counts, extra fields and the order of keys do not", () => {
    const changed: Partial<CanonicalNode>[] = [
      { node_type: "StreamInput" },
      { interval_seconds: 61 },
      { period: 3 },
      { params: {} },
      { inputs: [] },
      { schema_compat_id: "" },
      { code_hash: "" },
    ];
    const ids = changed.map((change) => nodeId({ ...node, ...change }));

    expect(new Set([...ids, nodeId(node)]).size).toBe(changed.length + 1);
    const { code_hash, inputs, ...others } = node;
    const reordered = { world_id: "w", code_hash, inputs, ...others, name: "x" };
    expect(nodeId(reordered)).toBe(nodeId(node));
  });

  test("params are equal exactly if their JSON is", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^p[a-z]{0,3}$/), fc.integer()),
        fc.dictionary(fc.stringMatching(/^p[a-z]{0,3}$/), fc.integer()),
        (a, b) => {
          expect(nodeId({ ...node, params: a }) === nodeId({ ...node, params: b })).toBe(
            slowCanonical(a) === slowCanonical(b),
          );
        },
      ),
      { seed: 3 },
    );
  });

  test.each([
    [{ interval_seconds: 0 }, "interval_seconds"],
    [{ period: 1.5 }, "period"],
    [{ node_type: "" }, "node_type"],
    [{ inputs: [{ port: "a", node_id: "abc" as NodeId }] }, "inputs[0].node_id"],
    [{ inputs: [node.inputs[0]!, node.inputs[0]!] }, "inputs[1].port"],
  ])("refuses %o", (change, path) => {
    expect(() => nodeId({ ...node, ...change })).toThrow(
      expect.objectContaining({ reason: "BAD_NODE", path }),
    );
  });

  test.each(["world", "world_id", "as_of", "partition", "env", "env_stage", "Execution_Domain"])(
    "a param named %s is refused by name, at any depth",
    (name) => {
      const params = { deep: [{ [name]: 1 }] };

      expect(() => assertNoReservedParams(params)).toThrow(
        expect.objectContaining({ reason: "RESERVED_PARAM", path: `params.deep[0].${name}` }),
      );
      expect(() => nodeId({ ...node, params })).toThrow(IdentityError);
    },
  );

  test("seed, timestamp and environment are ordinary params", () => {
    expect(() => assertNoReservedParams({ seed: 1, timestamp: 2, environment: 3 })).not.toThrow();
  });
});

describe("compute keys", () => {
  const key = {
    nodeId: hex("a"),
    worldId: "w",
    executionDomain: "backtest",
    asOf: "s1",
    partition: "global",
  } as const;

  test("every part separates contexts, and parts cannot run into one another", () => {
    const others = [
      { ...key, nodeId: hex("b") },
      { ...key, worldId: "w2" },
      { ...key, executionDomain: "live" as const },
      { ...key, asOf: "s2" },
      { ...key, partition: "p" },
      { ...key, worldId: 'w","backtest' },
    ];

    expect(new Set([key, ...others].map(computeKey)).size).toBe(others.length + 1);
    expect(sourceComputeKey(key.nodeId)).not.toBe(computeKey(key));
  });

  test.each([{ worldId: "" }, { partition: "" }, { executionDomain: "prod" as "live" }])(
    "a key with a missing part is refused: %o",
    (part) => {
      expect(() => computeKey({ ...key, ...part })).toThrow(
        expect.objectContaining({ reason: "BAD_CONTEXT" }),
      );
    },
  );
});
