import { blake3Hex, canonicalNodeText, nodeId, parseNodeId } from "@qmtl/core/canonical";
import type { BenchRow } from "./bench-row.ts";
import { interleavedMedians } from "./engine-stopwatch.ts";
import { limitRow, referenceRow } from "./limit-row.ts";

export interface IdentityBenchOptions {
  /** Nodes hashed per sample. @default 20000 */
  nodes?: number;
  /** @default 7 */
  samples?: number;
}

/** Node ids per second, against BLAKE3 over the same canonical text made beforehand. */
export async function identityBench(options: IdentityBenchOptions = {}): Promise<BenchRow[]> {
  const { nodes = 20_000, samples = 7 } = options;
  const input = { port: "close", node_id: parseNodeId(`blake3:${"ab".repeat(32)}`) };
  const all = Array.from({ length: nodes }, (_, at) => ({
    node_type: "sma",
    interval_seconds: 60,
    period: 20 + (at % 200),
    params: { window: 20 + (at % 200), label: `n${at}` },
    inputs: [input],
    schema_compat_id: "f64:value",
    code_hash: "builtin:sma:1",
  }));
  const texts = all.map(canonicalNodeText);
  const times = interleavedMedians(
    {
      hash: () => {
        for (const text of texts) blake3Hex(text);
      },
      id: () => {
        for (const node of all) nodeId(node);
      },
    },
    samples,
  );
  return [
    referenceRow("identity/blake3", (times.hash! * 1e3) / nodes, "µs/node", samples),
    limitRow("identity/node-id", times.id! / times.hash!, "× BLAKE3 of its text", samples, 4),
  ];
}
