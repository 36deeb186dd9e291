import type { OfflineMarket } from "./market.ts";
import type { ResultRefusal } from "./result.ts";
import type { OfflineTrading } from "./trade.ts";

const when = (ms: number): string => new Date(ms).toISOString().replace("T00:00:00.000Z", "");

/** Notes of what was wanted and not traded: one sentence per instrument and reason, with the time of the first. */
export function refusalNotes(
  market: Pick<OfflineMarket, "money" | "isLeverageStated" | "currency">,
  refusals: readonly ResultRefusal[],
): string[] {
  const groups = new Map<string, ResultRefusal[]>();
  for (const refusal of refusals) {
    const key = `${refusal.instrument} ${refusal.reason}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [refusal]);
    else group.push(refusal);
  }
  return [...groups.values()].map((group) => sentence(market, group));
}

/** Notes of positions that were reduced or closed for lack of margin: one sentence per instrument. */
export function marginNotes(
  market: Pick<OfflineMarket, "instruments">,
  { orders, orderTimesMs }: Pick<OfflineTrading, "orders" | "orderTimesMs">,
): string[] {
  return market.instruments.flatMap(({ traded }) => {
    const own = orders.flatMap(({ origin, instrument }, at) =>
      origin === "margin" && instrument === traded.symbol ? [orderTimesMs[at]!] : [],
    );
    if (own.length === 0) return [];
    const first = when(own[0]!);
    const times =
      own.length === 1
        ? `once, decided at the bar ending ${first}`
        : `${own.length} times, first decided at the bar ending ${first}`;
    return [`Positions in ${traded.symbol} were reduced or closed for lack of margin ${times}.`];
  });
}

function sentence(
  { money, isLeverageStated }: Pick<OfflineMarket, "money" | "isLeverageStated">,
  [first, ...others]: readonly ResultRefusal[],
): string {
  const { instrument, reason, eventTimeMs } = first!;
  const count = others.length + 1;
  const times = count === 1 ? "once" : `${count} times`;
  const since = `${count === 1 ? "" : "first "}at the bar ending ${when(eventTimeMs)}`;
  switch (reason) {
    case "REDUCED_TO_BUYING_POWER": {
      const most = isLeverageStated
        ? `its gross exposure is at most ${money.leverageMax} times its equity`
        : "it states no leverage_max, so its gross exposure is at most its equity";
      const shorts = money.kind === "cash" ? ", and an account of kind cash holds no shorts" : "";
      return `Orders of ${instrument} were cut to the buying power of the account ${times}, ${since} (${reason}): ${most}${shorts}.`;
    }
    case "MARK_INVALID":
      return `Nothing was opened in ${instrument} at a price of 0 or less ${times}, ${since} (${reason}).`;
    case "BELOW_MINIMUM":
      return `Orders of ${instrument} worth less than its min_notional were not made ${times}, ${since} (${reason}).`;
    case "MARGIN_CALL":
      return `Orders of ${instrument} were not made while positions were reduced for lack of margin ${times}, ${since} (${reason}).`;
    default:
      return `Orders of ${instrument} were refused for the limits of the account ${times}, ${since} (${reason}).`;
  }
}
