import type { AccountOp } from "@qmtl/core/execution";
import { z } from "zod";

const text = z.string();
const number = z.number().refine(Number.isFinite);
const bookId = { world: text, strategy: text, instrument: text };
const scope = z.object({ world: text.exactOptional(), strategy: text.exactOptional() });

/**
 * Operations on an account's core, as its journal stores them. Fields that do not concern the core are skipped. Notes
 * record what followed from an operation; a note with an `order` records an order that was made.
 */
const opSchema = z.discriminatedUnion("op", [
  z.object({
    op: z.literal("set_target"),
    ...bookId,
    value: number,
    bucket: number,
    mark: number,
    act: z.boolean(),
    notionalMin: number.optional(),
    sizedRow: number.optional(),
    drift: number.optional(),
    resize: z.boolean().optional(),
    capital: number.optional(),
    openShare: number.optional(),
    openTolerance: number.optional(),
  }),
  z.object({
    op: z.literal("submit_order"),
    ...bookId,
    lots: number,
    bucket: number,
    terms: z.object({ type: z.enum(["limit", "stop"]), price: number }).optional(),
    reduceOnly: z.boolean(),
    notionalMin: number.optional(),
  }),
  z.object({ op: z.literal("rearm"), world: text, strategy: text, bucket: number }),
  z.object({ op: z.literal("cancel"), scope, protective: z.boolean() }),
  z.object({ op: z.literal("cancel_order"), order: text }),
  z.object({ op: z.literal("compare"), positions: z.array(z.tuple([text, number])), cash: number }),
  z.object({
    op: z.literal("allocate"),
    input: z.object({
      world: text,
      strategy: text,
      share: number,
      equity: number,
      beginsStage: z.boolean().exactOptional(),
    }),
    bucket: number,
  }),
  z.object({
    op: z.literal("rebalance"),
    input: z.object({
      batchId: text,
      bucket: number,
      crosses: z.array(z.object({ ...bookId, lots: number, price: number })),
      quantities: z.array(z.object({ ...bookId, lots: number })),
    }),
  }),
  z.object({
    op: z.literal("demote"),
    world: text,
    strategy: text,
    onDemote: z.enum(["flat", "keep"]),
    bucket: number,
  }),
  z.object({
    op: z.literal("flatten"),
    scope,
    bucket: number,
    origin: z.enum([
      "target",
      "rearm",
      "reconcile",
      "rebalance",
      "plain",
      "demote",
      "halt_flatten",
      "lease_lost",
    ]),
  }),
  z.object({
    op: z.literal("state"),
    order: text,
    state: z.enum(["sent", "unknown", "accepted", "rejected", "cancelled", "expired"]),
    reason: text,
  }),
  z.object({
    op: z.literal("fill"),
    fill: z.object({
      orderId: text,
      executionId: text,
      lots: number,
      price: number,
      fee: number,
      book: z.object(bookId).exactOptional(),
    }),
  }),
  z.object({
    op: z.literal("bar"),
    bucket: number,
    worlds: z.array(text).exactOptional(),
    marks: z.array(z.object({ instrument: text, close: number })),
  }),
  z.object({
    op: z.literal("seal"),
    bucket: number,
    instruments: z.array(text),
    declared: z
      .array(z.object({ world: text, strategy: text, instruments: z.array(text) }))
      .exactOptional(),
  }),
  z.object({
    op: z.literal("settings"),
    limits: z
      .object({
        orderNotionalMax: number.exactOptional(),
        grossNotionalMax: number.exactOptional(),
      })
      .exactOptional(),
    money: z
      .object({
        kind: z.enum(["cash", "margin"]),
        leverageMax: number,
        maintenance: number.exactOptional(),
        instrumentLeverageMax: z.record(text, number).exactOptional(),
        financing: z
          .object({
            cashRate: number,
            debitRate: number,
            borrowRate: number,
            dayCount: z.union([z.literal(360), z.literal(365)]),
            zone: text,
          })
          .exactOptional(),
      })
      .exactOptional(),
  }),
  z.object({ op: z.literal("margin"), bucket: number }),
  z.object({ op: z.literal("finance"), timeMs: number }),
  z.object({
    op: z.literal("fund"),
    timeMs: number,
    rates: z.array(z.object({ instrument: text, rate: number })),
  }),
  z.object({ op: z.literal("adjust_cash"), cash: number }),
  z.object({ op: z.literal("adjust_position"), instrument: text, lots: number, price: number }),
  z.object({
    op: z.literal("note"),
    order: z.object({ id: text, ...bookId, lots: number, bucket: number, origin: text }).optional(),
  }),
]);

/** An operation of a journal; a note may carry an order that was made. */
export type ReplayOp = z.output<typeof opSchema> & AccountOp;

/**
 * Parses the operation of a journal entry.
 *
 * @throws {ZodError} for one that a replay does not know.
 */
export function parseReplayOp(body: unknown): ReplayOp {
  return opSchema.parse(body);
}
