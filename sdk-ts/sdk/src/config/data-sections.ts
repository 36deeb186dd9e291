import { isZone } from "@qmtl/core/execution";
import { usualPeriodsPerYear } from "@qmtl/core/intervals";
import { z } from "zod";
import { parseInterval } from "../sources/parse-interval.ts";
import { parseTimeText, timeForms } from "../sources/parse-time.ts";

export const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/, "use letters, digits, _ . - only, at most 100");

/** A symbol as its exchange or vendor writes it: `005930`, `BTC/USDT`, `^GSPC`. */
export const symbolSchema = z
  .string()
  .regex(
    /^(?! )[^\p{C}\p{Zl}\p{Zp}]{1,100}(?<! )$/u,
    "a symbol is 1 to 100 printable characters, without blanks around it",
  );

const writtenTime = z.union([z.string(), z.number()]).transform((value) => String(value));
const isTime = (text: string): boolean => !Number.isNaN(parseTimeText(text));

/** A date or a time; digits may stand without quotes. */
export const timeText = writtenTime.refine(isTime, `not a date or time; write ${timeForms}`);

const interval = z.union([z.string(), z.number()]).superRefine((value, context) => {
  try {
    parseInterval(value);
  } catch (failure) {
    if (!(failure instanceof RangeError)) throw failure;
    context.addIssue({ code: "custom", message: failure.message });
  }
});

const plainDecimal = /^-?\d+(\.\d+)?$/;
const decimal = z
  .union([z.number(), z.string().regex(plainDecimal, "not a decimal number")])
  .transform((value) => String(value))
  .refine((text) => plainDecimal.test(text), "not a plain decimal number; put it in quotes")
  .refine((text) => !text.startsWith("-"), "must not be below 0");

const positive = decimal.refine((text) => !(Number(text) <= 0), "must be above 0");

const leverage = z.number().positive().max(1_000);

/** One feed of bars. */
export const sourceSchema = z.strictObject({
  adapter: z.literal("csv-replay").default("csv-replay").describe("Kind of reader of the feed."),
  file: z.string().min(1).describe("CSV file with the rows of the feed."),
  history_file: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("CSV file used instead of `file` for backtests and for warm-up before `start`."),
  interval: interval
    .default("1d")
    .describe(
      "Bar length: `60s`, `1m`, `1h`, `1d`, or `1w` (labelled by Monday; `5d` if the market rests at weekends), `1mo`, `1q`, `1y` (by their first day).",
    ),
  sparse: z
    .boolean()
    .default(false)
    .describe(
      "Bars may come less often than `interval`, each known only when the next one opens; the last one is left out.",
    ),
  columns: z
    .array(z.string().min(1))
    .min(1)
    .max(1_000)
    .nullable()
    .default(null)
    .describe("Value columns to read; null reads all."),
  speed: z
    .union([z.number().positive().max(1e6), z.literal("max")])
    .default("max")
    .describe("Bars per second, or max. An upper limit in a replay world."),
  start: timeText
    .nullable()
    .default(null)
    .describe(
      "Beginning of the feed: rows that have ended by then are history. Null: the first row.",
    ),
  until: writtenTime
    .refine(
      (text) => text === "start" || isTime(text),
      `neither \`start\` nor a time; write ${timeForms}`,
    )
    .nullable()
    .default(null)
    .describe(
      "Limit: the feed publishes no bar after this time until the limit is moved. `start` stops before the first bar. Null: no limit.",
    ),
  schedule: z
    .enum(["observed", "continuous"])
    .default("observed")
    .describe(
      "How queues of the source that a tag query finds count rows, `observed`: the rows are the sequence; `continuous`: every interval has a bar, and one without a row is a hole. A StreamInput states its own `schedule`.",
    ),
  periods_per_year: z
    .number()
    .positive()
    .max(31_622_400)
    .nullable()
    .default(null)
    .describe(
      "Bars per year, for annualised figures. Null: 52 of `1w` and `5d`, 12 of `1mo`, 4 of `1q`, 1 of `1y`, 252 of others.",
    ),
});

/** What is traded. Money and quantity are decimals, kept as text. */
export const instrumentSchema = z.strictObject({
  venue: z.string().min(1).max(100).default("paper").describe("Where it is traded."),
  tick: positive
    .default("0.01")
    .describe(
      "Smallest step of limit and stop prices, in quote currency, and how far a bar must trade through a limit for it to fill. Market orders fill at the price of the bar and half the spread, which is not rounded to it.",
    ),
  lot: positive
    .default("1")
    .describe("Smallest step of the quantity; cannot change once an account has traded it."),
  min_notional: decimal
    .default("0")
    .describe(
      "Smallest value of an order at the mark, in quote currency; an order that closes the whole position is exempt.",
    ),
  multiplier: positive
    .default("1")
    .describe("Value of one unit per point of price; cannot change once an account has traded it."),
  quote_currency: z
    .string()
    .regex(/^[A-Z0-9]{2,12}$/, "not a currency code")
    .default("USD")
    .describe("Currency of the price; must be that of each account that lists it."),
  mark_source: nameSchema.describe("Entry of `sources` whose close is the mark."),
  funding: z
    .strictObject({
      source: nameSchema.describe(
        "Entry of `sources` whose rows are charged, each when it ends: quantity × mark × rate.",
      ),
      column: z
        .string()
        .min(1)
        .describe("Its column with the rates, 0.0001 is 1 bp; above 0: longs pay, shorts receive."),
    })
    .nullable()
    .default(null)
    .describe("Funding of a perpetual future; null: none."),
  leverage_max: leverage
    .nullable()
    .default(null)
    .describe(
      "Largest exposure in it, in multiples of the account's equity, at most that of each account that lists it; null: the account's.",
    ),
});

/** A broker account. */
export const accountSchema = z.strictObject({
  broker: z.literal("paper").default("paper").describe("Broker that executes the orders."),
  currency: z
    .string()
    .regex(/^[A-Z0-9]{2,12}$/, "not a currency code")
    .default("USD")
    .describe(
      "Currency of cash and equity, and of the prices of its instruments; cannot change once the account was opened.",
    ),
  initial_cash: positive
    .default("1000000")
    .describe(
      "Initial cash, above 0, of a paper account; cannot change once the account was opened.",
    ),
  fee_bps: z
    .number()
    .min(0)
    .max(10_000)
    .default(1)
    .describe("Fee, basis points of notional per side."),
  half_spread_bps: z
    .number()
    .min(0)
    .max(10_000)
    .default(1)
    .describe("Half spread a market order pays, basis points of notional."),
  kind: z
    .enum(["cash", "margin"])
    .default("margin")
    .describe("`margin`: may hold shorts, and more than its cash. `cash`: neither."),
  leverage_max: leverage
    .nullable()
    .default(null)
    .describe(
      "Largest gross exposure, in multiples of equity: an order that opens is cut to it. Null: 1. A change takes effect at the next start.",
    ),
  maintenance: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      "Share of gross exposure that equity must keep: below it at a mark, all positions are reduced to `leverage_max` at the next open. 0: never.",
    ),
  cash_rate: z
    .number()
    .min(-1)
    .max(1)
    .default(0)
    .describe(
      "Received on cash above 0, a fraction a year: 0.02 is 2 %. Charged once a calendar day, as the other rates are; a change takes effect at the next start.",
    ),
  debit_rate: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("Paid on cash below 0, a fraction a year: 0.06 is 6 %."),
  borrow_rate: z
    .number()
    .min(0)
    .max(10)
    .default(0)
    .describe("Paid on the value of what is sold short, a fraction a year."),
  day_count: z
    .union([z.literal(360), z.literal(365)])
    .default(360)
    .describe("Days of a year: a day costs a rate divided by them."),
  zone: z
    .string()
    .refine(isZone, "not the IANA name of a time zone, such as America/New_York")
    .default("UTC")
    .describe("Zone whose calendar days are charged, each for what is held as it ends."),
  instruments: z
    .array(symbolSchema)
    .max(10_000)
    .default([])
    .describe("Symbols it may trade; a symbol that was traded cannot be removed."),
  limits: z
    .strictObject({
      max_order_notional: positive
        .nullable()
        .default(null)
        .describe("Largest notional of one order; null: no limit."),
      max_gross_notional: positive
        .nullable()
        .default(null)
        .describe("Largest gross exposure; null: no limit."),
    })
    .prefault({})
    .describe(
      "Limits checked before each order, in account currency; a change takes effect at the next start.",
    ),
  reconcile_interval_ms: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(60_000)
    .describe("Interval between comparisons of the books with the broker, ms."),
  faults: z
    .array(
      z
        .string()
        .regex(
          /^lose_reply:[^:\s]+:(\d{4}-\d{2}-\d{2}|[1-9]\d{0,8})$/,
          "expected lose_reply:<strategy id or *>:<n-th order, or date of its bar>",
        ),
    )
    .max(1)
    .default([])
    .describe(
      "Faults of the paper broker, for tests: the reply to an order is lost. Needs test.test_mode and one account.",
    ),
});

/** Bars per year of a source, as set or as its interval has them. */
export function periodsPerYearOf(
  source: Pick<z.output<typeof sourceSchema>, "interval" | "periods_per_year">,
): number {
  return source.periods_per_year ?? usualPeriodsPerYear(parseInterval(source.interval));
}
