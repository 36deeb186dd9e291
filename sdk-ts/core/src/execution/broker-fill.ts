import type { SimulatedBar, SimulatedFill, SimulatedOrder } from "./simulated-order.ts";

/** A fill as the broker makes it. Its execution id is made when it is read: most runs keep fills and read no id. */
export class BrokerFill implements SimulatedFill {
  readonly orderId: string;
  readonly instrument: string;
  readonly book: string;
  readonly lots: number;
  readonly price: number;
  readonly fee: number;
  readonly spreadCost: number;
  readonly row: number;
  readonly bucketEndMs: number;

  constructor(
    order: SimulatedOrder,
    { row, bucketEndMs }: SimulatedBar,
    { lots, price, fee, spreadCost }: Pick<SimulatedFill, "lots" | "price" | "fee" | "spreadCost">,
  ) {
    this.orderId = order.id;
    this.instrument = order.instrument;
    this.book = order.book ?? "";
    this.lots = lots;
    this.price = price;
    this.fee = fee;
    this.spreadCost = spreadCost;
    this.row = row;
    this.bucketEndMs = bucketEndMs;
  }

  get executionId(): string {
    return `${this.orderId}:${this.row}`;
  }
}
