import type { AccountCore } from "@qmtl/core/execution";
import type { JournalLine } from "../store/journal-op.ts";
import type { Booking } from "./booking.ts";

/**
 * Answers of a broker that are in memory, but not stored yet. They go into the account's next transaction, so that
 * nothing waits for a commit of their own. After a crash they are found again at the broker, since the orders are in
 * the journal.
 */
export class PendingReports {
  #lines: JournalLine[] = [];
  readonly #touched = new Set<string>();
  readonly #filledValue = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  /** Takes over a booking of reports and fills; one that makes orders cannot wait. */
  add(reports: Booking): void {
    if (reports.made.length > 0) throw new Error("a booking with orders is stored before it acts");
    this.#lines.push(...reports.lines);
    for (const id of reports.touched) this.#touched.add(id);
    for (const [id, value] of reports.filledValue) this.#addValue(this.#filledValue, id, value);
  }

  /** Puts all of them before the lines of a booking. */
  moveInto(booking: Booking): void {
    booking.lines.unshift(...this.#lines);
    for (const id of this.#touched) booking.touched.add(id);
    for (const [id, value] of this.#filledValue) this.#addValue(booking.filledValue, id, value);
  }

  /** Call it once they are stored. */
  clear(): void {
    this.#lines = [];
    this.#touched.clear();
    this.#filledValue.clear();
  }

  /** Performs them again on a core that was rebuilt from a journal without them. */
  applyTo(core: AccountCore): void {
    for (const { body } of this.#lines) core.apply(body);
  }

  #addValue(values: Map<string, number>, id: string, value: number): void {
    values.set(id, (values.get(id) ?? 0) + value);
  }
}
