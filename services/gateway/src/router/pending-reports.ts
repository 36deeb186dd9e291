import type { AccountCore } from "@qmtl/core/execution";
import type { Booking } from "./booking.ts";
import type { JournalLine } from "./journal-op.ts";

/**
 * What a broker answered and is in memory, but not stored yet. It goes into the next transaction of the account, so that
 * nobody waits for a commit of its own. Lost by a crash, it is found again at the broker: the order is in the journal.
 */
export class PendingReports {
  #lines: JournalLine[] = [];
  readonly #touched = new Set<string>();
  readonly #filledValue = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  /** Takes over a booking of reports and fills; one that makes orders cannot be owed. */
  add(reports: Booking): void {
    if (reports.made.length > 0) throw new Error("a booking with orders is stored before it acts");
    this.#lines.push(...reports.lines);
    for (const id of reports.touched) this.#touched.add(id);
    for (const [id, value] of reports.filledValue) this.#addValue(this.#filledValue, id, value);
  }

  /** Puts all of it before what a booking holds. */
  moveInto(booking: Booking): void {
    booking.lines.unshift(...this.#lines);
    for (const id of this.#touched) booking.touched.add(id);
    for (const [id, value] of this.#filledValue) this.#addValue(booking.filledValue, id, value);
  }

  /** It is stored. */
  clear(): void {
    this.#lines = [];
    this.#touched.clear();
    this.#filledValue.clear();
  }

  /** Performs it again on a core that was rebuilt from a journal without it. */
  applyTo(core: AccountCore): void {
    for (const { body } of this.#lines) core.apply(body);
  }

  #addValue(values: Map<string, number>, id: string, value: number): void {
    values.set(id, (values.get(id) ?? 0) + value);
  }
}
