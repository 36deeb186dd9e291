import type { SimulatedBroker, SimulatedFill } from "@qmtl/core/execution";
import { failpoints } from "@qmtl/service-kit";
import type { Tx } from "@qmtl/service-kit/db";
import { type SqlWrite, Writes } from "../../store/writes.ts";
import type {
  AcceptReply,
  BrokerBar,
  BrokerBooking,
  BrokerFill,
  BrokerOrder,
  BrokerReport,
  CancelReply,
} from "./broker-port.ts";
import { bookName, simulatedTerms } from "./order-record.ts";
import type { PaperFault } from "./paper-fault.ts";
import {
  addAccepted,
  addBars,
  addFills,
  addOutcomes,
  fencesStand,
  haveFences,
  type NumberedFill,
} from "./paper-store.ts";

/** The paper broker's books in memory. */
export interface PaperMemory {
  readonly core: SimulatedBroker;
  /** Number of the last execution. */
  sequence: number;
  /** Orders whose reply was lost and whose fill is not reported. */
  readonly lost: Set<string>;
  /** The fence registered last, by world. */
  readonly fences: Map<string, number>;
}

interface PaperBookingPorts {
  readonly account: string;
  readonly memory: PaperMemory;
  /** Money of one lot at a price of 1, by instrument. */
  readonly lotUnits: ReadonlyMap<string, number>;
  readonly fault: PaperFault;
  readonly nowMs: () => number;
  /** Adds the deletion of bars that are no longer kept, when it is time for that. */
  readonly forgetBars: (writes: Writes, stored: number) => void;
  /** What is in memory is not what is stored. */
  readonly forgetMemory: () => void;
}

/**
 * What the paper broker does in one booking: in memory at once, in its tables with the booking. Each row is written
 * once, whatever happens to it, since the parts of a statement do not see each other.
 */
export class PaperBooking implements BrokerBooking {
  readonly #ports: PaperBookingPorts;
  readonly #bars: BrokerBar[] = [];
  readonly #fills: NumberedFill[] = [];
  readonly #accepted: { readonly order: BrokerOrder; readonly reportLost: boolean }[] = [];
  readonly #outcomes = new Map<string, "filled" | "cancelled">();

  constructor(ports: PaperBookingPorts) {
    this.#ports = ports;
  }

  playBars(bars: readonly BrokerBar[]): BrokerReport {
    const { core } = this.#ports.memory;
    this.#bars.push(...bars);
    return this.#book(bars.flatMap((bar) => core.onBar(bar)));
  }

  accept(order: BrokerOrder): AcceptReply | undefined {
    const { memory, fault } = this.#ports;
    const { id, world, instrument, lots, bucket, reduceOnly, fence } = order;
    if (memory.core.lookup(id) !== undefined) return { accepted: true, report: nothing };
    if (memory.fences.get(world) !== fence) return { accepted: false, reason: "FENCE_STALE" };
    const reportLost = fault(order);
    const outcome = memory.core.accept({
      ...{ id, instrument, lots, bucket, reduceOnly },
      ...simulatedTerms(order.terms),
      book: bookName(order),
    });
    if (!outcome.accepted) return outcome;
    this.#accepted.push({ order, reportLost });
    if (reportLost) memory.lost.add(id);
    const report = this.#book(outcome.fills);
    return reportLost ? undefined : { accepted: true, report };
  }

  cancel(orderId: string): CancelReply {
    const reply = this.#ports.memory.core.cancel(orderId);
    if (reply === "cancelled") this.#outcomes.set(orderId, "cancelled");
    return reply;
  }

  async writes(): Promise<Writes> {
    const { account, nowMs, forgetBars } = this.#ports;
    const writes = new Writes();
    const own = new Set(this.#accepted.map(({ order }) => order.id));
    const accepted = this.#accepted.map((one) => {
      return { ...one, outcome: this.#outcomes.get(one.order.id) ?? null };
    });
    addAccepted(writes, account, accepted, nowMs());
    for (const outcome of ["filled", "cancelled"] as const) {
      const ids = [...this.#outcomes].flatMap(([id, its]) =>
        its === outcome && !own.has(id) ? [id] : [],
      );
      addOutcomes(writes, account, ids, outcome);
    }
    addFills(writes, account, this.#fills);
    addBars(writes, account, this.#bars);
    forgetBars(writes, this.#bars.length);
    if (own.size > 0) await failpoints.hit("paper.accept.before_commit");
    return writes;
  }

  condition(isLocking: boolean): SqlWrite | undefined {
    return this.#accepted.length === 0 ? undefined : fencesStand(this.#fences(), isLocking);
  }

  async holds(tx: Tx): Promise<boolean> {
    return this.#accepted.length === 0 || haveFences(tx, this.#fences());
  }

  async stored(): Promise<void> {
    if (this.#accepted.length > 0) await failpoints.hit("paper.accept.after_commit");
  }

  undone(): void {
    this.#ports.forgetMemory();
  }

  /** The fences that the orders were accepted under: memory knows one for each world. */
  #fences(): ReadonlyMap<string, number> {
    return new Map(this.#accepted.map(({ order }) => [order.world, order.fence]));
  }

  /** Books fills and what the broker cancelled by itself. */
  #book(fills: readonly SimulatedFill[]): BrokerReport {
    const { memory, lotUnits } = this.#ports;
    const told: BrokerFill[] = [];
    for (const fill of fills) {
      memory.sequence += 1;
      const { sequence } = memory;
      const { executionId, orderId, instrument, lots, price, fee } = fill;
      if (!memory.lost.has(orderId)) {
        told.push({ sequence, executionId, orderId, instrument, lots, price, fee });
      }
      const cost = lots * lotUnits.get(instrument)! * price + fee;
      this.#fills.push({ sequence, fill, cost });
    }
    const cancelled = memory.core.drainCancelled();
    // An order that was cancelled in part has filled.
    for (const { id } of cancelled) this.#outcomes.set(id, "cancelled");
    for (const { orderId } of fills) this.#outcomes.set(orderId, "filled");
    return { fills: told, cancelled: cancelled.filter(({ id }) => !memory.lost.has(id)) };
  }
}

const nothing: BrokerReport = { fills: [], cancelled: [] };
