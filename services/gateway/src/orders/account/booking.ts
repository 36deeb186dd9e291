import type {
  AccountCore,
  AccountOutcome,
  RefusedIntent,
  ReportedState,
  RouterOrder,
  SealedReturn,
} from "@qmtl/core/execution";
import type { ExecutionDomain } from "@qmtl/core/gate";
import type { BrokerBooking } from "../broker/broker-port.ts";
import type { JournalKind, JournalLine, JournalOp } from "../store/journal-op.ts";

/** What must hold for an order to leave: the gate is open and no halt covers it, no halt covers it, or nothing. */
export type LeaveCondition = "gate" | "no_halt" | "nothing";

/** An order that is to be sent, with the context it leaves under. */
export interface OutgoingOrder {
  readonly order: Readonly<RouterOrder>;
  readonly context: OrderContext;
  readonly needs: LeaveCondition;
}

/** Decides whether an order may leave, and under which context; `refusal` is the reason why it may not. */
export type Permission = (order: Readonly<RouterOrder>) => {
  readonly context: OrderContext;
  readonly needs: LeaveCondition;
  readonly refusal: string | undefined;
};

/** The world, strategy and feed row that an entry belongs to. */
export interface JournalPlace {
  readonly world: string;
  readonly strategy: string;
  readonly row: number;
}

/**
 * Operations that take effect together: performed on the core, and by a local broker, at once, stored in one statement
 * or transaction, and only then acted upon elsewhere. If that fails, the core must be rebuilt from the journal.
 */
export class Booking {
  readonly lines: JournalLine[] = [];
  readonly sends: OutgoingOrder[] = [];
  readonly cancels: string[] = [];
  readonly refused: RefusedIntent[] = [];
  readonly sealed: SealedReturn[] = [];
  /** Orders whose row must be written again. */
  readonly touched = new Set<string>();
  /** Orders made here. */
  readonly made: OutgoingOrder[] = [];
  /** Σ of lots × price of the fills booked here, by order. */
  readonly filledValue = new Map<string, number>();
  /** What a local broker does with it, stored together with it; undefined for nothing. */
  atBroker: BrokerBooking | undefined;
  readonly #core: AccountCore;

  constructor(core: AccountCore) {
    this.#core = core;
  }

  get isEmpty(): boolean {
    return this.lines.length === 0;
  }

  /** Whether any of its operations changed the core. */
  get hasPerformed(): boolean {
    return this.lines.some(({ body }) => body.op !== "note" && body.op !== "compare");
  }

  /**
   * Performs an operation in the form in which the journal gives it back, and journals it with what follows from it.
   */
  apply(
    kind: JournalKind,
    asked: JournalOp,
    place: JournalPlace,
    permission: Permission,
  ): AccountOutcome {
    const op = jsonOf(asked);
    const outcome = this.#core.apply(op);
    const { financed } = outcome;
    const body = financed === undefined ? op : jsonOf({ ...op, ...financed });
    this.lines.push({ kind, ...place, body });
    this.refused.push(...outcome.refused);
    this.sealed.push(...(outcome.sealed ?? []));
    for (const refusal of outcome.refused) {
      const { world, strategy } = refusal;
      this.note("order_state", { ...place, world, strategy }, { refused: refusal });
    }
    for (const effect of outcome.effects) {
      if (effect.kind === "cancel") {
        this.cancels.push(effect.orderId);
        this.touched.add(effect.orderId);
      } else {
        this.#take(effect.order, place.row, permission);
      }
    }
    return outcome;
  }

  /** Books a state that was reported for an order. */
  report(orderId: string, state: ReportedState, row: number, reason = ""): void {
    const order = this.#core.order(orderId);
    const place = { world: order?.world ?? "", strategy: order?.strategy ?? "", row };
    const op = { op: "state", order: orderId, state, reason } as const;
    this.#core.apply(op);
    this.lines.push({ kind: "order_state", ...place, body: op });
    this.touched.add(orderId);
  }

  /** Books a fill; false when it was booked before, or its order is unknown. */
  fill(told: Extract<JournalOp, { op: "fill" }>["fill"], row: number): boolean {
    const fill = jsonOf(told);
    const outcome = this.#core.onFill(fill);
    if (outcome === "duplicate" || outcome === "unknown_order") return false;
    const { world, strategy } = this.#core.order(fill.orderId) ??
      fill.book ?? { world: "", strategy: "" };
    this.lines.push({ kind: "fill", world, strategy, row, body: { op: "fill", fill } });
    const before = this.filledValue.get(fill.orderId) ?? 0;
    this.filledValue.set(fill.orderId, before + fill.lots * fill.price);
    this.touched.add(fill.orderId);
    return true;
  }

  /** An entry that changes nothing in the core. */
  note(kind: JournalKind, place: JournalPlace, body: Readonly<Record<string, unknown>>): void {
    this.lines.push({ kind, ...place, body: jsonOf({ ...body, op: "note" }) });
  }

  #take(order: Readonly<RouterOrder>, row: number, permission: Permission): void {
    const { context, needs, refusal } = permission(order);
    const made = { order, context, needs };
    this.made.push(made);
    this.touched.add(order.id);
    const { world, strategy } = order;
    this.note("order", { world, strategy, row }, { order: { ...order }, context });
    if (refusal === undefined) this.sends.push(made);
    else this.report(order.id, "rejected", row, refusal);
  }
}

/** Data as JSON holds them: no undefined fields, no zero with a sign. */
function jsonOf<T extends object>(data: T): T {
  return JSON.parse(JSON.stringify(data)) as T;
}

/** The context an order left under; stored with it. */
export interface OrderContext {
  readonly fence: number;
  readonly decisionId: string;
  /** Emitter of its strategy; empty for none. */
  readonly sessionId: string;
  readonly domain: ExecutionDomain;
  readonly row: number;
}
