import type { Ruin } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { timeText } from "./print.ts";

/** `ruined since …, at an equity of … (ACCOUNT_RUINED): …`, for people; times and money only where they are known. */
export function ruinText({ ruinTime, equity }: Ruin): string {
  const since = ruinTime === undefined ? "" : ` since ${timeText(ruinTime)}`;
  const at = equity === undefined ? "" : `, at an equity of ${equity.value}`;
  return `ruined${since}${at} (ACCOUNT_RUINED): no order is taken on it any more; trade on an account of another name`;
}
