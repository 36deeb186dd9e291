import { readFile } from "node:fs/promises";
import { z } from "zod";

const id = z.string().min(1);
const finite = z.number().refine(Number.isFinite);

/** The header: what was run, and the settings of the account's router. It may come after rows. */
const headerSchema = z.strictObject({
  type: z.literal("session"),
  version: z.literal(1),
  strategy_name: id,
  world_id: id,
  strategy_id: id,
  account_id: id,
  initial_cash: finite,
  instruments: z
    .array(
      z.strictObject({
        symbol: id,
        lotSize: id,
        tick: finite.optional(),
        multiplier: finite.optional(),
      }),
    )
    .min(1)
    .max(10_000),
  limits: z
    .strictObject({ orderNotionalMax: finite.optional(), grossNotionalMax: finite.optional() })
    .default({}),
});

/** A row of one source node, as the session consumed it. A `null` value is NaN; a missing bucket has no values. */
const rowSchema = z.strictObject({
  type: z.literal("row"),
  node_id: z.string().regex(/^blake3:[0-9a-f]{64}$/),
  row: z.int(),
  end_ms: z.int(),
  values: z.array(z.number().nullable()).max(1_000).nullable(),
});

/** Weights of the strategy's activation, from the bucket that ends at `from_ms` on; 1 before the first. */
const weightSchema = z.strictObject({
  type: z.literal("weight"),
  from_ms: z.int(),
  long: z.number().min(0).max(1),
  short: z.number().min(0).max(1),
});

/** An entry of the account's journal: the gateway's `JournalEntry`, with its body as JSON. */
const journalSchema = z.strictObject({
  type: z.literal("journal"),
  entry: z.int().min(1),
  kind: id,
  world_id: z.string(),
  strategy_id: z.string(),
  row: z.int(),
  body: z.looseObject({ op: id }),
});

const lineSchema = z.discriminatedUnion("type", [
  headerSchema,
  rowSchema,
  weightSchema,
  journalSchema,
]);

type SessionHeader = z.output<typeof headerSchema>;
export type SessionRow = z.output<typeof rowSchema>;
type SessionWeight = z.output<typeof weightSchema>;
type SessionJournalEntry = z.output<typeof journalSchema>;

/** One line of a record file. */
export type SessionRecordLine = z.input<typeof lineSchema>;

/** A recorded session. Row numbers increase within each node; journal entries are in order, without gaps. */
export interface SessionRecord {
  readonly header: SessionHeader;
  readonly rows: readonly SessionRow[];
  readonly weights: readonly SessionWeight[];
  readonly journal: readonly SessionJournalEntry[];
}

/**
 * Thrown for a session that cannot be recorded or replayed, and for a record file with a wrong line or a missing one.
 */
export class SessionRecordError extends Error {
  override readonly name = "SessionRecordError";
}

/** @returns a line of a record file, including its line break */
export function sessionRecordLine(line: SessionRecordLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** @returns the values of a row as a record holds them: NaN and ±∞ become `null` */
export function recordedValues(values: ArrayLike<number>): (number | null)[] {
  return Array.from(values, (value) => (Number.isFinite(value) ? value : null));
}

/**
 * Reads a record file. A last line that was cut off by a crash is left out.
 *
 * @param path path of the file
 * @throws {SessionRecordError} naming the line.
 */
export async function readSessionRecord(path: string): Promise<SessionRecord> {
  return parseSessionRecord(await readFile(path, "utf8"), path);
}

/**
 * Reads the text of a record file.
 *
 * @param text the text; a last line without a line break is left out
 * @param file name of the file in errors. @default "record"
 * @throws {SessionRecordError} naming the line.
 */
export function parseSessionRecord(text: string, file = "record"): SessionRecord {
  const lines = text.split("\n");
  lines.pop(); // empty, or cut off
  const record = {
    header: undefined as SessionHeader | undefined,
    rows: [] as SessionRow[],
    weights: [] as SessionWeight[],
    journal: [] as SessionJournalEntry[],
  };
  for (const [index, each] of lines.entries()) {
    const line = parseLine(each, `${file}:${index + 1}`);
    if (line.type === "session") record.header = line;
    else if (line.type === "row") record.rows.push(line);
    else if (line.type === "weight") record.weights.push(line);
    else record.journal.push(line);
  }
  const { header, rows, weights, journal } = record;
  if (header === undefined) throw new SessionRecordError(`${file}: has no line of type session`);
  journal.sort((a, b) => a.entry - b.entry);
  for (const [index, { entry }] of journal.entries()) {
    if (entry === journal[0]!.entry + index) continue;
    throw new SessionRecordError(`${file}: journal entry ${entry} does not follow the one before`);
  }
  return { header, rows, weights, journal };
}

function parseLine(text: string, place: string): z.output<typeof lineSchema> {
  try {
    return lineSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SessionRecordError(`${place}: is not a line of a session record`, { cause });
  }
}
