import type { StepExecutor } from "../dataflow/index.ts";
import type { RowContent } from "../sources/queue-row.ts";
import type { OnlineGraph } from "./online-graph.ts";
import { isSameRow, rowText, shortHash, windowHash, windowHashRows } from "./online-hashes.ts";
import type { OnlineKey } from "./online-key.ts";
import { type ComputedPast, computePast, pastValues, restoredExecutor } from "./online-restore.ts";

/** What one row came to. */
export interface ComputedRow {
  readonly row: number;
  readonly bucketEndMs: number;
  /** Value of the target node; NaN keeps the one before, or there is none. */
  readonly target: number;
}

export interface OnlineComputeOptions {
  readonly graph: OnlineGraph;
  readonly sourceKeys: ReadonlyMap<string, OnlineKey>;
  /** Keys of the computed nodes in this context. */
  readonly keys: ReadonlyMap<string, OnlineKey>;
  readonly onRow: (row: ComputedRow) => void;
  /** Evaluations of one step; `isFirst` is false for rows that were computed here before. */
  readonly onEvaluated: (count: number, row: number, isFirst: boolean) => void;
  /** Private evaluations to take nodes over. */
  readonly onWarmup: (count: number) => void;
  readonly onTakeover: (names: readonly string[], row: number) => void;
  readonly onDiverged: (name: string, row: number) => void;
  /** Whether the bucket edge takes more rows now. */
  readonly hasRoom: () => boolean;
}

/**
 * A strategy's nodes in one compute context. What this process holds it computes and publishes; the rest it reads.
 * Each row is stepped once, as soon as everything it needs is effective.
 *
 * When what is held changes, the executor is made anew: all nodes are computed from the private history and the
 * effective source rows, rows of keys just claimed are compared with their logs, and the step goes on from there.
 */
export class OnlineCompute {
  readonly #options: OnlineComputeOptions;
  readonly #seqs = new Map<string, number>();
  #executor: StepExecutor | undefined;
  #held: ReadonlySet<string> = new Set();
  /** Followed nodes whose queue begins after the next row: computed here until then, for nobody else. */
  #private: ReadonlySet<string> = new Set();
  #lastRow = Number.NaN;
  #firstNewRow = Number.NEGATIVE_INFINITY;
  #isEnabled = false;
  #isPumping = false;

  constructor(options: OnlineComputeOptions) {
    this.#options = options;
  }

  /** Last row computed; NaN before the first. */
  get lastRow(): number {
    return this.#lastRow;
  }

  /** It stands after its last row, ready for the next. */
  get isWarm(): boolean {
    return !Number.isNaN(this.#lastRow);
  }

  get heldCount(): number {
    return this.#held.size;
  }

  get followedCount(): number {
    return this.#options.keys.size - this.#held.size;
  }

  /** The log was read and leases were asked for once: rows may be computed. */
  enable(): void {
    this.#isEnabled = true;
  }

  stop(): void {
    this.#isEnabled = false;
  }

  /** Computes every row that can be; called whenever anything changed. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#isEnabled && this.#prepare() && this.#canStep()) this.#step();
    } finally {
      this.#isPumping = false;
    }
  }

  /** State of a held node after the last row; undefined for a node without. */
  stateOf(
    nodeId: string,
  ): { readonly row: number; readonly hash: Uint8Array; readonly state: Uint8Array } | undefined {
    const executor = this.#executor;
    if (executor === undefined || !this.#held.has(nodeId)) return undefined;
    const state = executor.save(executor.handle(nodeId));
    return state.length === 0 ? undefined : { row: this.#lastRow, hash: shortHash(state), state };
  }

  /** Makes the executor fit what is held; false while a claim is open. */
  #prepare(): boolean {
    const keys = [...this.#options.keys.values()];
    if (keys.some((key) => key.phase === "CLAIMED")) return false;
    const held = keys.filter((key) => key.isHeld);
    const isSame =
      this.#executor !== undefined &&
      held.length === this.#held.size &&
      held.every((key) => this.#held.has(key.identity.nodeId) && key.phase === "HOLDING");
    if (isSame && !this.#isPrivateDone()) return true;
    return this.#rebuild(held);
  }

  #isPrivateDone(): boolean {
    for (const id of this.#private) {
      const key = this.#options.keys.get(id)!;
      if (key.firstRow <= this.#lastRow + 1) return true;
    }
    return false;
  }

  #rebuild(held: readonly OnlineKey[]): boolean {
    const { graph, sourceKeys, keys, onWarmup, onTakeover, onDiverged } = this.#options;
    const claimed = held.filter((key) => key.phase === "RESTORING");
    const lastRow = this.#restoreRow(claimed);
    const past = computePast(graph, sourceKeys, lastRow);
    onWarmup(past.evaluations);
    for (const key of claimed) {
      const problem = difference(past, key);
      if (problem === undefined) continue;
      key.diverged(problem.row, problem.local, problem.log);
      onDiverged(key.identity.name, problem.row);
    }
    const kept = held.filter((key) => key.isHeld);
    this.#held = new Set(kept.map((key) => key.identity.nodeId));
    this.#private = new Set(
      [...keys.values()]
        .filter((key) => !key.isHeld && key.isStarted && key.firstRow > lastRow + 1)
        .map((key) => key.identity.nodeId),
    );
    const supplied = new Set(graph.sources.map((source) => source.nodeId));
    for (const id of keys.keys()) {
      if (!this.#held.has(id) && !this.#private.has(id)) supplied.add(id);
    }
    const wanted = [...this.#held];
    if (graph.target !== undefined) wanted.push(graph.target.nodeId);
    this.#executor =
      wanted.length === 0 ? undefined : restoredExecutor(graph, past, supplied, wanted);
    if (!Number.isNaN(this.#lastRow)) {
      this.#firstNewRow = Math.max(this.#firstNewRow, this.#lastRow + 1);
    }
    this.#lastRow = lastRow;
    for (const key of claimed) if (key.isHeld) key.restored();
    const names = claimed.filter((key) => key.isHeld).map((key) => key.identity.name);
    if (names.length > 0) onTakeover(names, lastRow);
    return true;
  }

  /** Row to go on from: where this process stands, or earlier when a key just claimed ends earlier. */
  #restoreRow(claimed: readonly OnlineKey[]): number {
    const { graph, sourceKeys } = this.#options;
    let row = this.#lastRow;
    if (Number.isNaN(row)) {
      row = Number.POSITIVE_INFINITY;
      for (const key of sourceKeys.values()) {
        row = Math.min(row, (key.isStarted ? key.nextRow : graph.rows.startRow) - 1);
      }
    }
    for (const key of claimed) row = Math.min(row, key.nextRow - 1);
    return Math.max(row, graph.rows.firstRow - 1);
  }

  #canStep(): boolean {
    const { sourceKeys, keys, hasRoom } = this.#options;
    const next = this.#lastRow + 1;
    for (const key of sourceKeys.values()) if (key.row(next) === undefined) return false;
    for (const [id, key] of keys) {
      if (this.#held.has(id)) {
        if (key.room === 0 && next >= key.nextProduced) return false;
      } else if (!this.#private.has(id) && this.#isRead(id) && key.row(next) === undefined) {
        return false;
      }
    }
    return hasRoom();
  }

  #isRead(id: string): boolean {
    return this.#executor?.plan.nodeIndex.has(id) ?? false;
  }

  #step(): void {
    const { graph, sourceKeys, keys, onRow, onEvaluated } = this.#options;
    const executor = this.#executor;
    const row = this.#lastRow + 1;
    const bucketEndMs = endOfRow(sourceKeys, row);
    if (executor !== undefined) {
      const before = evaluationsOf(executor);
      for (const [handle, node] of executor.plan.nodes.entries()) {
        if (!node.supplied) continue;
        const found = (sourceKeys.get(node.id) ?? keys.get(node.id))?.row(row);
        this.#seqs.set(node.id, found?.seq ?? 0);
        if (found?.content === undefined) executor.pushMissing(handle, row, bucketEndMs);
        else executor.push(handle, row, bucketEndMs, found.content.values);
      }
      executor.step(bucketEndMs);
      this.#publish(executor, row, bucketEndMs);
      onEvaluated(evaluationsOf(executor) - before, row, row >= this.#firstNewRow);
    }
    this.#lastRow = row;
    const handle = graph.target && executor?.plan.nodeIndex.get(graph.target.nodeId);
    const target =
      handle === undefined || executor === undefined ? Number.NaN : executor.value(handle);
    onRow({ row, bucketEndMs, target });
  }

  /** Sends the row of every held node, or compares it where the log has it already. */
  #publish(executor: StepExecutor, row: number, bucketEndMs: number): void {
    const { graph, keys, onDiverged } = this.#options;
    for (const { id } of graph.computed) {
      const key = keys.get(id);
      if (key === undefined || !this.#held.has(id)) continue;
      const handle = executor.handle(id);
      const isPresent = executor.isPresent(handle);
      const content = isPresent ? this.#content(executor, id, handle, row, bucketEndMs) : undefined;
      if (row === key.nextProduced) {
        this.#seqs.set(id, key.produce(row, bucketEndMs, content));
        continue;
      }
      const found = key.row(row);
      if (found === undefined) continue;
      this.#seqs.set(id, found.seq);
      if (isSameRow(content, found.content)) continue;
      key.diverged(row, rowText(content), rowText(found.content));
      onDiverged(key.identity.name, row);
    }
  }

  #content(
    executor: StepExecutor,
    id: string,
    handle: number,
    row: number,
    bucketEndMs: number,
  ): RowContent {
    const { slots } = executor.plan.nodes[handle]!;
    const state = executor.save(handle);
    const isWindowShown = state.length === 0 && row % windowHashRows === 0;
    const inputs = this.#options.graph.runtime.nodes.find((node) => node.id === id)?.inputs ?? [];
    return {
      bucketEndMs,
      values: Float64Array.from(slots, (_, output) => executor.value(handle, output)),
      inputSeq: inputs.map((input) => this.#seqs.get(input.node) ?? 0),
      stateHash: state.length === 0 ? new Uint8Array() : shortHash(state),
      windowHash: isWindowShown ? windowHash(executor, handle) : new Uint8Array(),
    };
  }
}

/** First row where what was computed here differs from the log of a key. */
function difference(
  past: ComputedPast,
  key: OnlineKey,
): { readonly row: number; readonly local: string; readonly log: string } | undefined {
  const { nodeId } = key.identity;
  const lastRow = Math.min(past.lastRow, key.nextRow - 1);
  const state = past.states.get(nodeId);
  for (let row = key.firstRow; row <= lastRow; row++) {
    const at = row - past.firstRow;
    const values = at < 0 ? null : pastValues(past, nodeId, at);
    const hash = row === past.lastRow && state !== undefined ? shortHash(state) : new Uint8Array();
    const local: RowContent | undefined =
      values === null
        ? undefined
        : { bucketEndMs: 0, values, inputSeq: [], stateHash: hash, windowHash: new Uint8Array() };
    const log = key.row(row)?.content;
    if (!isSameRow(local, log)) return { row, local: rowText(local), log: rowText(log) };
  }
  return undefined;
}

function endOfRow(sourceKeys: ReadonlyMap<string, OnlineKey>, row: number): number {
  for (const key of sourceKeys.values()) {
    const content = key.row(row)?.content;
    if (content !== undefined) return content.bucketEndMs;
  }
  return Number.NaN;
}

function evaluationsOf(executor: StepExecutor): number {
  let sum = 0;
  for (const [handle, node] of executor.plan.nodes.entries()) {
    if (!node.supplied) sum += executor.evaluations(handle);
  }
  return sum;
}
