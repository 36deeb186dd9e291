import type { QueueRecord } from "@qmtl/core/queues";

/** Upstreams of each node of the chain: two sources → EMA → window of two inputs → cumulative sum. */
export const upstreams: readonly (readonly number[])[] = [[], [], [0], [2, 1], [3]];
export const nodeCount = upstreams.length;
export const rowCount = 30;

/** A record of the chain with its payload; null values are sent as EMPTY. */
export interface ChainRecord extends QueueRecord {
  readonly node: number;
  readonly value: number | null;
  readonly stateHash: string;
  readonly by: number;
}

/** What a node publishes for one row. */
export interface ChainOutput {
  readonly row: number;
  readonly value: number | null;
  /** Canonical text of the state after the row: its own hash, so a collision is impossible. */
  readonly stateHash: string;
}

interface NodeState {
  readonly row: number;
  readonly carry: number | null;
  readonly sum: number;
  readonly last: readonly (readonly (number | null)[])[];
}

const blank: NodeState = { row: 0, carry: null, sum: 0, last: [] };

/** A deterministic node of the chain that can be saved and loaded. */
export class ChainNode {
  readonly node: number;
  #state: NodeState;

  constructor(node: number, saved?: string) {
    this.node = node;
    this.#state = saved === undefined ? blank : (JSON.parse(saved) as NodeState);
  }

  /** The row it computes next. */
  get row(): number {
    return this.#state.row;
  }

  save(): string {
    return JSON.stringify(this.#state);
  }

  /** Computes the next row from one value per port. */
  step(inputs: readonly (number | null)[]): ChainOutput {
    const last = [...this.#state.last, inputs].slice(-3);
    let { carry, sum } = this.#state;
    let value: number | null = null;
    const x = inputs[0] ?? null;
    if (this.node === 2 && x !== null) {
      carry = carry === null ? x : carry + 0.3 * (x - carry);
      value = carry;
    } else if (this.node === 3) {
      const pairs = last.flatMap(([a, b]) => (a == null || b == null ? [] : [a - b]));
      value = pairs.length === 0 ? null : pairs.reduce((a, b) => a + b, 0) / pairs.length;
    } else if (this.node === 4 && x !== null) {
      sum += carry !== null && x > carry ? x : -x;
      carry = x;
      value = sum;
    }
    const { row } = this.#state;
    this.#state = { row: row + 1, carry, sum, last };
    return { row, value, stateHash: this.save() };
  }
}

/** What feed `by` delivers for a source row; null = no value. Feeds may disagree. */
export function feedValue(
  node: number,
  row: number,
  by: number,
  doFeedsDisagree: boolean,
): number | null {
  const mixed = Math.imul(node * 7_919 + row * 104_729 + 13, 2_654_435_761) >>> 0;
  if (mixed % 11 === 0) return null;
  return (mixed % 1_000) / 7 + (doFeedsDisagree ? by * 1e-3 : 0);
}
