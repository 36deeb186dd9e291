import { lotsFromQuantity } from "@qmtl/core/execution";
import { QmtlError } from "@qmtl/sdk/rpc";
import { keepAnswer, keptAnswer } from "../store/kept-answers.ts";
import type { AccountRouter } from "./account-router.ts";
import { reconcileAccount } from "./reconcile-account.ts";

interface AdjustmentOrder {
  /** Empty for cash. */
  readonly instrument: string;
  /** Signed decimal text. */
  readonly quantity: string;
  readonly reason: string;
  readonly requestId: string;
  readonly requestHash: string;
  readonly principal: string;
}

/**
 * Books the correction that explains a difference from the broker, then compares again: if nothing differs any more,
 * opening orders are let out again. A position is moved at its last mark. Effective once per request id. Call it only
 * within an exclusive operation of the account; resolves to the number of the last entry.
 */
export async function bookAdjustment(
  router: AccountRouter,
  order: AdjustmentOrder,
): Promise<number> {
  const { db, clock, settings } = router.deps;
  const { instrument, quantity, reason, requestId, requestHash, principal } = order;
  const kept = await keptAnswer(db, "adjustment", requestId, requestHash);
  if (kept !== undefined) return Number(Buffer.from(kept).toString());
  const booking = router.booking();
  const place = router.journalPlace("");
  booking.note("adjustment", place, { instrument, quantity, reason, principal });
  if (instrument === "") {
    const op = { op: "adjust_cash", cash: adjustedCash(quantity) } as const;
    booking.apply("adjustment", op, place, router.permission);
  } else {
    const spec = settings.instruments.find((one) => one.symbol === instrument);
    const price = router.core.mark(instrument);
    if (spec === undefined || price === undefined) {
      throw new QmtlError("INSTRUMENT_NOT_FOUND", `${instrument} has no mark on this account`);
    }
    const lots = adjustedLots(quantity, spec.lotSize);
    const op = { op: "adjust_position", instrument, lots, price } as const;
    booking.apply("adjustment", op, place, router.permission);
    // The broker's cash did not move: only the position was wrong.
    const cash = lots * router.core.lotUnit(instrument) * price;
    booking.apply("adjustment", { op: "adjust_cash", cash }, place, router.permission);
  }
  const entry = router.head + booking.lines.length;
  const answer = Buffer.from(String(entry));
  await router.commit(booking, (tx) =>
    keepAnswer(tx, { kind: "adjustment", requestId, requestHash, answer, nowMs: clock.nowMs() }),
  );
  await reconcileAccount(router);
  return entry;
}

/** Cash is booked as a float64, which counts whole units up to here. */
const cashMax = Number.MAX_SAFE_INTEGER;

function adjustedCash(quantity: string): number {
  const cash = Number(quantity);
  if (Math.abs(cash) <= cashMax) return cash;
  throw notBookable(`cash of ${quantity} is beyond ${cashMax}`);
}

/** @throws {QmtlError} INVALID_FIELD for what is no whole number of lots. */
function adjustedLots(quantity: string, lotSize: string): number {
  try {
    return lotsFromQuantity(quantity, lotSize);
  } catch (failure) {
    if (failure instanceof RangeError) throw notBookable(failure.message);
    throw failure;
  }
}

function notBookable(message: string): QmtlError {
  return new QmtlError("INVALID_FIELD", message, {
    fields: [{ field: "quantity", description: message }],
  });
}
