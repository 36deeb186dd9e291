/** A position in one instrument. `quantity` is in the caller's unit (lots or units); above 0 is long. */
export interface Position {
  quantity: number;
  /** Average entry price of what is held; 0 when flat. */
  averageCost: number;
}

/**
 * Books a trade into a position, in place, and returns the realised P&L as quantity × price (multiply it by the lot
 * unit when quantities are lots).
 *
 * - Same direction: the average cost is weighted by quantity.
 * - Reduction: the average cost stays; realised = (price − average cost) × what was closed, sign by side.
 * - Exactly closed: quantity 0, average cost 0, no dust.
 * - Through zero: the old side is realised whole and the new side starts at the fill price.
 */
export function applyTrade(position: Position, quantity: number, price: number): number {
  const held = position.quantity;
  if (held === 0 || held > 0 === quantity > 0) {
    const next = held + quantity;
    if (next !== 0) {
      position.averageCost = (held * position.averageCost + quantity * price) / next;
    }
    position.quantity = next;
    return 0;
  }
  const closed = Math.abs(quantity) < Math.abs(held) ? -quantity : held;
  const realised = closed * (price - position.averageCost);
  const next = held + quantity;
  position.quantity = next;
  if (next === 0) {
    position.averageCost = 0;
  } else if (next > 0 !== held > 0) {
    position.averageCost = price;
  }
  return realised;
}
