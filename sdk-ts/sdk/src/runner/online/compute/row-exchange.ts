import type { StepExecutor } from "@qmtl/core/dataflow";
import { inputContent, type OnlineInput } from "../log/input.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RowContent } from "../log/wire-records.ts";
import type { MergedGraph } from "../session/graph.ts";
import type { RunReports } from "../session/run-reporter.ts";
import type { OnlineBucket } from "./clocks.ts";
import { isSameRow, rowText, shortHash, windowHash, windowHashRows } from "./hashes.ts";
import { clockKeyOf } from "./history.ts";
import type { OnlineWiring } from "./wiring.ts";

interface RowExchangeOptions {
  readonly graph: MergedGraph;
  readonly replicas: ReadonlyMap<string, QueueReplica>;
  readonly reports: RunReports;
}

/**
 * Moves rows between an executor and the queues: pushes the rows that others wrote, and publishes those of held nodes
 * or, if the log has them already, compares them.
 */
export class RowExchange {
  readonly #options: RowExchangeOptions;
  /** Seq of the last row of each node. */
  readonly #seqs = new Map<string, number>();
  #wired: WiredQueues | undefined;

  constructor(options: RowExchangeOptions) {
    this.#options = options;
  }

  /** Pushes the rows others wrote; false when the plan has none on the clocks of this bucket. */
  push(executor: StepExecutor, wiring: OnlineWiring, bucket: OnlineBucket): boolean {
    const { plan } = executor;
    const { supplied } = this.#wiredBy(wiring);
    let isPushed = false;
    for (const [handle, node] of plan.nodes.entries()) {
      const row = node.supplied ? bucket.rows.get(clockKeyOf(plan, handle)) : undefined;
      if (row === undefined) continue;
      const input = supplied.get(node.id);
      const found = (input?.replica ?? this.#options.replicas.get(node.id))?.row(row);
      this.#seqs.set(node.id, found?.seq ?? 0);
      isPushed = true;
      const values = input === undefined ? found?.content?.values : inputContent(input, row);
      if (values === undefined) executor.pushMissing(handle, row, bucket.endMs);
      else executor.push(handle, row, bucket.endMs, values);
    }
    return isPushed;
  }

  /**
   * After the step of a bucket, compares the rows of held nodes that the log has already, and publishes the others.
   * Returns false if one differs: then nothing is published, for the rows of later nodes were computed from it.
   */
  publish(
    executor: StepExecutor,
    wiring: OnlineWiring,
    bucket: OnlineBucket,
    held: ReadonlySet<string>,
  ): boolean {
    const { graph, replicas, reports } = this.#options;
    const { endMs } = bucket;
    const next: { readonly id: string; readonly row: number; readonly replica: QueueReplica }[] =
      [];
    let isSame = true;
    for (const { id } of graph.computed) {
      const replica = replicas.get(id);
      const row = bucket.rows.get(wiring.clockOf.get(id) ?? "");
      if (replica === undefined || row === undefined || !held.has(id)) continue;
      if (row === replica.nextProduced) {
        next.push({ id, row, replica });
        continue;
      }
      const found = replica.row(row);
      if (found === undefined) continue;
      this.#seqs.set(id, found.seq);
      if (wiring.queries.has(id)) continue;
      const content = this.#content(executor, wiring, id, row, endMs);
      if (isSameRow(content, found.content)) continue;
      replica.diverged(row, rowText(content), rowText(found.content));
      reportDivergence(reports, replica, row);
      isSame = false;
    }
    if (!isSame) return false;
    for (const { id, row, replica } of next) {
      const content = this.#content(executor, wiring, id, row, endMs);
      this.#seqs.set(id, replica.produce(row, endMs, content));
    }
    return true;
  }

  #wiredBy(wiring: OnlineWiring): WiredQueues {
    if (this.#wired?.wiring !== wiring) {
      const supplied = new Map(wiring.inputs.map((input) => [input.nodeId, input]));
      const inputs = new Map(
        wiring.runtime.nodes.map(({ id, inputs: read }) => [id, read.map(({ node }) => node)]),
      );
      this.#wired = { wiring, supplied, inputs };
    }
    return this.#wired;
  }

  /** Row of a node as it was computed; undefined for a missing one. */
  #content(
    executor: StepExecutor,
    wiring: OnlineWiring,
    id: string,
    row: number,
    bucketEndMs: number,
  ): RowContent | undefined {
    const handle = executor.handle(id);
    if (!executor.isPresent(handle)) return undefined;
    const { slots } = executor.plan.nodes[handle]!;
    const state = executor.save(handle);
    const isWindowShown = state.length === 0 && row % windowHashRows === 0;
    const inputs = this.#wiredBy(wiring).inputs.get(id) ?? [];
    const values = new Float64Array(slots.length);
    for (let output = 0; output < slots.length; output++)
      values[output] = executor.value(handle, output);
    return {
      bucketEndMs,
      values,
      inputSeq: inputs.map((node) => this.#seqs.get(node) ?? 0),
      stateHash: state.length === 0 ? new Uint8Array() : shortHash(state),
      windowHash: isWindowShown ? windowHash(executor, handle) : new Uint8Array(),
    };
  }
}

/** What a wiring says of single nodes. */
interface WiredQueues {
  readonly wiring: OnlineWiring;
  /** Each input, by its node's id. */
  readonly supplied: ReadonlyMap<string, OnlineInput>;
  /** Ids of the nodes that each node reads, one per port. */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
}

/** Row evaluations of an executor so far. */
export function evaluationsOf(executor: StepExecutor): number {
  let sum = 0;
  for (const [handle, node] of executor.plan.nodes.entries()) {
    if (!node.supplied) sum += executor.evaluations(handle);
  }
  return sum;
}

/** Reports that a node computed here differs from its log. */
export function reportDivergence(
  reports: RunReports,
  { identity }: QueueReplica,
  row: number,
): void {
  const message = `node "${identity.name}" differs from the log; it is followed`;
  reports.event("diverged", message, row);
}
