import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ConsumeResponseSchema } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import type { RowsSchema } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { BenchRow } from "./bench-row.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";
import { referenceRow } from "./limit-row.ts";
import { median } from "./samples.ts";

const rowCount = 64;
const repeats = 200;
const samples = 21;
const float64s = (values: readonly number[]) => new Uint8Array(new Float64Array(values).buffer);

/** The same 64 rows read as a reader gets them: live, each a record of its own, and from history, as one run. */
export async function queueRecordsBench(): Promise<BenchRow[]> {
  const all = Array.from({ length: rowCount }, (_, at) => at);
  const single = encoded(all.map((at) => [at]));
  const run = encoded([all]);
  const times = { single: [] as number[], run: [] as number[] };
  for (let sample = -1; sample < samples; sample++) {
    for (const [name, bytes] of [["single", single] as const, ["run", run] as const]) {
      const start = stopwatchMs();
      for (let at = 0; at < repeats; at++) fromBinary(ConsumeResponseSchema, bytes);
      if (sample >= 0) times[name].push(((stopwatchMs() - start) * 1e3) / repeats / rowCount);
    }
  }
  return [
    referenceRow("records/decode-single", median(times.single), "µs/row", samples),
    referenceRow("records/decode-run", median(times.run), "µs/row", samples),
  ];
}

/** An answer with one record for each list of rows. */
function encoded(runs: readonly (readonly number[])[]): Uint8Array {
  const records = runs.map((rows) => ({
    computeKey: `blake3:${"a".repeat(64)}`,
    leaseEpoch: 3n,
    seq: BigInt(rows[0] ?? 0),
    body: { case: "rows" as const, value: rowsOf(rows) },
  }));
  return toBinary(ConsumeResponseSchema, create(ConsumeResponseSchema, { records }));
}

function rowsOf(rows: readonly number[]): MessageInitShape<typeof RowsSchema> {
  return {
    row: BigInt(rows[0] ?? 0),
    count: rows.length,
    bucketEndMs: float64s(rows),
    knownAtMs: float64s(rows),
    columns: [float64s(rows)],
    inputSeq: rows.map(BigInt),
    stateHash: float64s(rows),
  };
}
