import type { AccountOutcome } from "@qmtl/core/execution";
import type { JournalOp } from "./journal-op.ts";

/**
 * Compares the orders that a replay makes with those its journal says were made. Where they are not the same, the books
 * are not those that traded, though positions and cash may agree.
 */
export class ReplayedOrders {
  /** Orders that the journal has not told of yet, with their lots and the entry that made them. */
  readonly #made = new Map<string, { readonly lots: number; readonly entry: number }>();
  #difference: string | undefined;

  take(entry: number, op: JournalOp, { effects }: AccountOutcome): void {
    for (const effect of effects) {
      if (effect.kind !== "send") continue;
      const { id, lots } = effect.order;
      this.#made.set(id, { lots, entry });
    }
    const told = op.op === "note" ? orderOf(op.order) : undefined;
    if (told === undefined) return;
    const lots = this.#made.get(told.id)?.lots;
    this.#made.delete(told.id);
    if (lots === told.lots) return;
    const now = lots === undefined ? "it is not made" : `it is of ${lots} lots`;
    this.#difference ??= `entry ${entry} made order ${told.id} of ${told.lots} lots, and now ${now}`;
  }

  /** The first that differs, in words; undefined when all are the same. Ask after the last entry. */
  get difference(): string | undefined {
    const [other] = this.#made;
    if (this.#difference !== undefined || other === undefined) return this.#difference;
    const [id, { lots, entry }] = other;
    return `entry ${entry} did not make order ${id} of ${lots} lots, and now does`;
  }
}

function orderOf(value: unknown): { readonly id: string; readonly lots: number } | undefined {
  if (typeof value !== "object" || value === null || !("id" in value && "lots" in value)) {
    return undefined;
  }
  const { id, lots } = value;
  return typeof id === "string" && typeof lots === "number" ? { id, lots } : undefined;
}
