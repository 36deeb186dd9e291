import { cloneFold, emptyFold, type FoldState, foldStep } from "@qmtl/core/queues";
import { type ChainRecord, nodeCount } from "./queue-chain-node.ts";

export const partitionOf = (node: number): number => node % 2;

/** A reader of the whole chain: the product's fold per key, and the effective records it took. */
export class ChainView {
  readonly offsets: number[];
  readonly folds: FoldState[];
  /** Seq of the first record in `taken`, per node. */
  readonly base: readonly number[];
  readonly taken: ChainRecord[][];

  constructor(checkpoint?: ChainCheckpoint) {
    this.offsets = [...(checkpoint?.offsets ?? [0, 0])];
    this.folds = Array.from({ length: nodeCount }, (_, n) => {
      const fold = checkpoint?.folds[n];
      return fold === undefined ? emptyFold() : cloneFold(fold);
    });
    this.base = this.folds.map((fold) => fold.seq);
    this.taken = this.folds.map(() => []);
  }

  /** Reads up to `recordsMax` records of each partition; `seen` gets every one of them. */
  read(
    log: readonly (readonly ChainRecord[])[],
    recordsMax: number,
    seen?: (record: ChainRecord) => void,
  ): void {
    for (const [p, records] of log.entries()) {
      const end = Math.min(records.length, this.offsets[p]! + recordsMax);
      for (const record of records.slice(this.offsets[p], end)) {
        const isEffective = foldStep(this.folds[record.node]!, record) === null;
        if (isEffective && record.kind !== "START") this.taken[record.node]!.push(record);
        seen?.(record);
      }
      this.offsets[p] = end;
    }
  }

  /** The effective record at a seq, if this reader has it. Each carries exactly one row here. */
  at(node: number, seq: number): ChainRecord | undefined {
    return this.taken[node]![seq - this.base[node]!];
  }

  checkpoint(): ChainCheckpoint {
    return { offsets: [...this.offsets], folds: this.folds.map(cloneFold) };
  }
}

/** Offsets and folds: all that a reader needs to resume. */
export interface ChainCheckpoint {
  readonly offsets: readonly number[];
  readonly folds: readonly FoldState[];
}
