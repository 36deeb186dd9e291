import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  GatewayService,
  type SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { ColumnKind, Schedule } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { jcs, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";
import { describe, expect, test } from "vitest";
import type { BadInputStack } from "./bad-input-stack.ts";
import { refusalOf } from "./refusals.ts";

/** A node as a foreign client would write it. */
interface NodeInit {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly intervalSeconds: bigint;
  readonly period: number;
  readonly paramsJson: string;
  readonly inputs: { port: string; nodeId: string }[];
  readonly schemaCompatId: string;
  readonly codeHash: string;
  readonly name: string;
  readonly columns: { name: string; kind: ColumnKind }[];
  readonly source?: { source: string; schedule: Schedule; adapter?: string };
}
type Submission = MessageInitShape<typeof SubmitStrategyRequestSchema>;

/** A node with its right id. */
function node(name: string, inputs: readonly NodeInit[] = [], params: object = {}): NodeInit {
  const ports = inputs.map((input, at) => ({ port: `in${at}`, nodeId: input.nodeId }));
  const id = nodeId({
    node_type: name,
    interval_seconds: 86_400,
    period: 1,
    params,
    inputs: ports.map((each) => ({ port: each.port, node_id: parseNodeId(each.nodeId) })),
    schema_compat_id: "f64:a",
    code_hash: "h",
  });
  return {
    nodeId: id,
    nodeType: name,
    intervalSeconds: 86_400n,
    period: 1,
    paramsJson: jcs(params),
    inputs: ports,
    schemaCompatId: "f64:a",
    codeHash: "h",
    name,
    columns: [{ name: "a", kind: ColumnKind.F64 }],
  };
}

/** A submission of some nodes, correct except for `change`. */
function submission(nodes: readonly NodeInit[], change: Change = {}): Submission {
  return {
    requestId: "bad",
    strategyName: "Bad",
    graph: { nodes: [...nodes], nodeIdsCrc32: nodeIdsCrc32(nodes.map((each) => each.nodeId)) },
    worldIds: ["w"],
    asOf: "snapshot-1",
    ...change,
  };
}

const bars = node("bars");
const mean = node("mean", [bars]);
const feed = { ...bars, source: { source: "day", schedule: Schedule.OBSERVED } };
const good = [bars, mean];
const other = node("other", [mean]);

/** Fields that make a submission wrong. */
type Change = Omit<Extract<Submission, { readonly $typeName?: never }>, "$typeName">;

interface Case {
  readonly what: string;
  readonly sent: () => Submission;
  readonly refused: {
    readonly status: string;
    readonly reason: string;
    readonly fields: readonly string[];
  };
}

const INVALID = "InvalidArgument";

const CASES: readonly Case[] = [
  {
    what: "a graph with a cycle",
    sent: () => {
      const first = { ...mean, inputs: [{ port: "in0", nodeId: other.nodeId }] };
      return submission([bars, first, other]);
    },
    refused: {
      status: INVALID,
      reason: "GRAPH_HAS_CYCLE",
      fields: ["graph.nodes[1].inputs", "graph.nodes[2].inputs"],
    },
  },
  {
    what: "a node that reads an unknown one",
    sent: () => submission([mean]),
    refused: {
      status: INVALID,
      reason: "UNKNOWN_DEPENDENCY",
      fields: ["graph.nodes[0].inputs[0].node_id"],
    },
  },
  {
    what: "a node whose id is not that of its content",
    sent: () => submission([bars, { ...mean, period: 2 }]),
    refused: { status: INVALID, reason: "NODE_ID_MISMATCH", fields: ["graph.nodes[1].node_id"] },
  },
  {
    what: "node ids damaged on the way",
    sent: () => submission(good, { graph: { nodes: good, nodeIdsCrc32: 7 } }),
    refused: { status: INVALID, reason: "CRC_MISMATCH", fields: ["graph.node_ids_crc32"] },
  },
  {
    what: "a param named like the world",
    sent: () => submission([{ ...bars, paramsJson: '{"world":"w"}' }]),
    refused: { status: INVALID, reason: "RESERVED_PARAM", fields: ["graph.nodes[0].params.world"] },
  },
  {
    what: "a node without a type",
    sent: () => submission([bars, { ...mean, nodeType: "" }]),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["graph.nodes[1].node_type"] },
  },
  {
    what: "a submission without a name",
    sent: () => submission(good, { strategyName: "" }),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["strategy_name"] },
  },
  {
    what: "a submission without a graph",
    sent: () => ({ requestId: "bad", strategyName: "Bad", worldIds: ["w"], asOf: "snapshot-1" }),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["graph"] },
  },
  {
    what: "a submission without a request id",
    sent: () => submission(good, { requestId: "" }),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["request_id"] },
  },
  {
    what: "a submission that does not pin what it reads",
    sent: () => submission([feed], { asOf: "" }),
    refused: { status: INVALID, reason: "CONTEXT_INCOMPLETE", fields: ["pins"] },
  },
  {
    what: "a pin of a source it does not read",
    sent: () => submission(good, { asOf: "", pins: [{ source: "day", fingerprint: "f" }] }),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["pins[0].source"] },
  },
  {
    what: "a source whose buckets are not said",
    sent: () =>
      submission([{ ...feed, source: { source: "day", schedule: Schedule.UNSPECIFIED } }]),
    refused: {
      status: INVALID,
      reason: "INVALID_FIELD",
      fields: ["graph.nodes[0].source.schedule"],
    },
  },
  {
    what: "a live source beside a replayed one",
    sent: () =>
      submission([
        { ...feed, source: { ...feed.source, adapter: "csv-replay" } },
        {
          ...node("trades"),
          source: { source: "trades", schedule: Schedule.OBSERVED, adapter: "socket" },
        },
      ]),
    refused: { status: INVALID, reason: "CLOCK_MIXED", fields: ["graph.nodes[1].source"] },
  },
  {
    what: "a live source in the world of a replayed one",
    sent: () =>
      submission([
        {
          ...node("trades"),
          source: { source: "trades", schedule: Schedule.OBSERVED, adapter: "socket" },
        },
      ]),
    refused: { status: INVALID, reason: "CLOCK_MIXED", fields: ["world_ids[0]"] },
  },
  {
    what: "a node without columns",
    sent: () => submission([{ ...bars, columns: [] }]),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["graph.nodes[0].columns"] },
  },
  {
    what: "a graph of more than 10,000 nodes",
    sent: () => submission(Array.from({ length: 10_001 }, (_, n) => node("n", [], { n }))),
    refused: { status: INVALID, reason: "GRAPH_TOO_LARGE", fields: ["graph.nodes"] },
  },
  {
    what: "notes of more than 16 KiB together",
    sent: () => submission(good, { metadata: { a: "x".repeat(9_000), b: "x".repeat(9_000) } }),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ["metadata"] },
  },
  {
    what: "one note of more than 16 KiB",
    sent: () => submission(good, { metadata: { note: "x".repeat(17_000) } }),
    refused: { status: INVALID, reason: "INVALID_FIELD", fields: ['metadata["note"]'] },
  },
  {
    what: "a world that is not there",
    sent: () => submission(good, { worldIds: ["w", "nowhere"] }),
    refused: { status: "NotFound", reason: "WORLD_NOT_FOUND", fields: ["world_ids[1]"] },
  },
  {
    what: "no common schema version",
    sent: () => submission(good, { schemaVersion: { min: 7, max: 9 } }),
    refused: { status: "FailedPrecondition", reason: "SCHEMA_VERSION_UNSUPPORTED", fields: [] },
  },
];

/** Submissions that must be refused whole. */
export function graphCases(at: () => BadInputStack): void {
  describe("a submission with", () => {
    const submit = (request: Submission) =>
      at().connection.client(GatewayService).submitStrategy(request);

    test("nothing wrong is taken, so each fault below is the only one", async () => {
      const { submission: answer } = await submit(submission(good, { validateOnly: true }));

      expect(answer?.strategyId).toMatch(/^s-[0-9a-f]{16}$/);
    });

    test.each(CASES)("$what is refused as $refused.reason, and nothing is stored", async (each) => {
      const before = await at().stored();

      const { status, reason, fields } = await refusalOf(submit(each.sent()));

      expect({ status, reason, fields }).toEqual(each.refused);
      expect(await at().stored()).toBe(before);
    });

    test("a request without a common schema version is refused with both ranges", async () => {
      const request = submission(good, { schemaVersion: { min: 7, max: 9 } });

      const { metadata } = await refusalOf(submit(request));

      expect(metadata).toMatchObject({ requested_min: "7", requested_max: "9" });
    });

    test("a message above 16 MiB is refused before it is read", async () => {
      const before = await at().stored();
      const metadata = { note: "x".repeat(17 * 1024 * 1024) };

      const { status } = await refusalOf(submit(submission(good, { metadata })));

      expect(status).toBe("ResourceExhausted");
      expect(await at().stored()).toBe(before);
    });
  });
}
