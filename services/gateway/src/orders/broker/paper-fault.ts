import { QmtlError } from "@qmtl/sdk/rpc";

/** Name of the environment variable: `lose_reply:<strategy id or *>:<n or date>`. */
export const PAPER_FAULT_ENV = "QMTL_PAPER_FAULT";

/** Decides for each accepted order whether its reply and its fill report are lost. */
export type PaperFault = (order: { readonly strategy: string; readonly bucket: number }) => boolean;

/** No fault: every reply arrives. */
export const noFault: PaperFault = () => false;

/**
 * Reads a fault for tests, which loses the reply of the n-th accepted order of a strategy (`*`: of any), or of every
 * order decided on the bar of a date (`2015-08-07`, the day a bucket ends in; a bucket that ends at midnight belongs to
 * the day before).
 *
 * Throws FAILPOINT_REFUSED without test mode, CONFIG_INVALID for a text that cannot be read.
 */
export function readPaperFault(spec: string | undefined, testMode: boolean): PaperFault {
  const text = spec?.trim() ?? "";
  if (text === "") return noFault;
  if (!testMode) {
    throw new QmtlError("FAILPOINT_REFUSED", `${PAPER_FAULT_ENV} is set but test.test_mode is off`);
  }
  const match = /^lose_reply:([^:\s]+):(?:(\d{4}-\d{2}-\d{2})|([1-9]\d{0,8}))$/.exec(text);
  if (match === null) {
    throw new QmtlError("CONFIG_INVALID", `${PAPER_FAULT_ENV}: cannot read "${text}"`, {
      fields: [
        { field: PAPER_FAULT_ENV, description: "expected lose_reply:<strategy|*>:<n|date>" },
      ],
    });
  }
  const [, strategy, date, count] = match;
  let left = Number(count ?? 0);
  return (order) => {
    if (strategy !== "*" && strategy !== order.strategy) return false;
    if (date !== undefined) return new Date(order.bucket - 1).toISOString().slice(0, 10) === date;
    left -= 1;
    return left === 0;
  };
}
