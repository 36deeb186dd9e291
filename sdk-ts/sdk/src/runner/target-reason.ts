/** What the reasons that are met most mean for whoever runs the strategy. */
const MEANINGS: Readonly<Record<string, string>> = {
  ACCOUNT_NOT_FOUND: "the world has no account at this gateway",
  BELOW_MINIMUM: "its order would be worth less than the instrument's min_notional",
  BUCKET_STALE: "it is older than the world's max_lag allows, or than one that was taken",
  CONFIG_INVALID: "rows of its feed cannot be booked; the log of the gateway says what to set",
  HALTED: "a halt is in force",
  INSTRUMENT_NOT_FOUND: "the world's account does not list the instrument",
  MARK_INVALID: "the instrument has no mark yet",
  NO_CAPITAL: "the strategy's share, or the world's allocation, is 0",
  OVER_LIMIT:
    "beyond a limit of the account, or above the largest weight that its submission declares",
};

/** A reason for people: what it means, where that is known, and its name. */
export function targetReason(reason: string): string {
  const meaning = MEANINGS[reason];
  return meaning === undefined ? reason : `${reason}, ${meaning}`;
}
