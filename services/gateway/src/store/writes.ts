import type { QmtlError } from "@qmtl/sdk/rpc";
import { type Db, DbError, type Queryable, type SqlParam } from "@qmtl/service-kit/db";

/** Largest number of rows of one part that still go into one statement with others. */
export const rowsTogetherMax = 256;
/** Largest number of rows that are values of their own, which costs less for few; more are arrays. */
const valuesMax = 16;
/** Largest number of parts of one statement; more go in a transaction. */
export const partsTogetherMax = 16;
/** Largest number of texts remembered, of parts and of statements; beyond it all are forgotten. */
const textsMax = 512;

/** A statement, or a part of one, with its own `$1`, `$2`, …. */
export interface SqlWrite {
  readonly sql: string;
  readonly params: readonly SqlParam[];
}

/** A database that stores what is written only while a condition holds. */
export interface GuardedDb extends Db {
  /** The condition, an SQL expression. */
  readonly guard: SqlWrite;
  /** The same database without it. */
  readonly unguarded: Db;
  /** Why a write was not stored. */
  refusal(): Promise<QmtlError>;
}

/**
 * A statement over rows: its text for 1, 2, 4, 8 or 16 of them, and one for any number. Rows that only fill up are NULL
 * and must change nothing.
 */
interface RowsStatement {
  readonly width: number;
  /** `size`: the number of rows, or `"any"`. */
  readonly textOf: (size: number | "any") => string;
}

/**
 * Defines a statement over rows. `sql` is given a query of them, `VALUES ($1::type, …), …` or one over an array for each
 * column, with the columns `column1`, `column2`, …; a first column that is NULL marks a row to skip. There are few texts,
 * so that each keeps a prepared statement.
 */
export function rowsStatement(
  types: readonly string[],
  sql: (rows: string) => string,
): RowsStatement {
  const texts = new Map<number | "any", string>();
  const textOf = (size: number | "any"): string => {
    const known = texts.get(size);
    if (known !== undefined) return known;
    const text = sql(size === "any" ? arraysOf(types) : `VALUES ${placeholders(types, size)}`);
    texts.set(size, text);
    return text;
  };
  return { width: types.length, textOf };
}

/** A statement over 1 to `rowsTogetherMax` rows. */
function overRows(statement: RowsStatement, rows: readonly (readonly SqlParam[])[]): SqlWrite {
  const { width, textOf } = statement;
  if (rows.length > valuesMax) {
    const columns = Array.from({ length: width }, (_, column) => rows.map((row) => row[column]!));
    return { sql: textOf("any"), params: columns };
  }
  const size = 2 ** Math.ceil(Math.log2(rows.length));
  const params = rows.flat();
  while (params.length < size * width) params.push(null);
  return { sql: textOf(size), params };
}

/**
 * Writes that are stored together: in one statement where possible, which is one commit and one round trip, or in a
 * transaction. No two of them may touch the same row: the parts of a statement do not see each other.
 */
export class Writes {
  readonly #parts: SqlWrite[] = [];
  #isLarge = false;

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** Whether all of it can go in one statement. */
  get isOneStatement(): boolean {
    return !this.#isLarge && this.#parts.length <= partsTogetherMax;
  }

  add(sql: string, params: readonly SqlParam[]): void {
    this.#parts.push({ sql, params });
  }

  /** Adds nothing when there are no rows. */
  addRows(statement: RowsStatement, rows: readonly (readonly SqlParam[])[]): void {
    if (rows.length > rowsTogetherMax) this.#isLarge = true;
    for (let at = 0; at < rows.length; at += rowsTogetherMax) {
      this.#parts.push(overRows(statement, rows.slice(at, at + rowsTogetherMax)));
    }
  }

  /** Adds all that another one has. */
  addAll(others: Writes): void {
    this.#parts.push(...others.#parts);
    this.#isLarge ||= others.#isLarge;
  }

  /** Stores all of it, or nothing. */
  async storeIn(db: Db): Promise<void> {
    if (this.isEmpty) return;
    if (this.isOneStatement) await this.#storeStatement(db);
    else await db.transaction((tx) => this.sendTo(tx));
  }

  async #storeStatement(db: Db): Promise<void> {
    if (!isGuarded(db)) await db.query(textOf(this.#parts), this.#params());
    else if (!(await this.#storeIf(db.unguarded, [db.guard]))) throw await db.refusal();
  }

  /**
   * Stores all of it if every one of `conditions`, SQL expressions over their own parameters, is true, and the guard of
   * the database, if it has one; resolves to false, with nothing stored, when one is not. Call it only if
   * `isOneStatement`.
   */
  storeIf(db: Db, conditions: readonly SqlWrite[]): Promise<boolean> {
    if (!isGuarded(db)) return this.#storeIf(db, conditions);
    return this.#storeIf(db.unguarded, [db.guard, ...conditions]);
  }

  async #storeIf(db: Db, conditions: readonly SqlWrite[]): Promise<boolean> {
    const check = allTrue(conditions);
    try {
      await db.query(textOf([...this.#parts, check]), [...this.#params(), ...check.params]);
      return true;
    } catch (failure) {
      if (failure instanceof DbError && failure.sqlState === divisionByZero) return false;
      throw failure;
    }
  }

  /** Sends all of it at once in a transaction, which fails as a whole. */
  async sendTo(tx: Queryable): Promise<void> {
    await Promise.all(this.#parts.map(({ sql, params }) => tx.query(sql, params)));
  }

  #params(): SqlParam[] {
    return this.#parts.flatMap(({ params }) => params);
  }
}

const divisionByZero = "22012";
const texts = new Map<string, string>();
/** A number for each text of a part, never used again for another, so that few digits are looked up for a long text. */
const numbers = new Map<string, number>();
let numbersGiven = 0;
const checks = new Map<string, string>();

/** A statement that fails with a division by zero, which undoes all that goes with it, unless all of them are true. */
function allTrue(conditions: readonly SqlWrite[]): SqlWrite {
  const params = conditions.flatMap((one) => one.params);
  const key = keyOf(conditions);
  const known = checks.get(key);
  if (known !== undefined) return { sql: known, params };
  let from = 0;
  const all = conditions.map((one) => {
    const { sql } = overParams(one, from);
    from += one.params.length;
    return `(${sql})`;
  });
  const sql = `SELECT 1 / coalesce(${all.join(" AND ")}, false)::int AS holds`;
  if (checks.size >= textsMax) checks.clear();
  checks.set(key, sql);
  return { sql, params };
}

function keyOf(parts: readonly SqlWrite[]): string {
  return parts.map(({ sql }) => numberOf(sql)).join(" ");
}

function numberOf(sql: string): number {
  const known = numbers.get(sql);
  if (known !== undefined) return known;
  if (numbers.size >= textsMax) numbers.clear();
  numbersGiven += 1;
  numbers.set(sql, numbersGiven);
  return numbersGiven;
}

/** `WITH w0 AS (…), w1 AS (…) …`: the last one is the statement, the others go with it. */
function textOf(parts: readonly SqlWrite[]): string {
  if (parts.length === 1) return parts[0]!.sql;
  const key = keyOf(parts);
  const known = texts.get(key);
  if (known !== undefined) return known;
  let from = 0;
  const numbered = parts.map(({ sql, params }) => {
    const shift = from;
    from += params.length;
    return shifted(sql, shift);
  });
  const last = numbered.pop()!;
  const text = `WITH ${numbered.map((sql, at) => `w${at} AS (${sql})`).join(",\n")}\n${last}`;
  if (texts.size >= textsMax) texts.clear();
  texts.set(key, text);
  return text;
}

function isGuarded(db: Db): db is GuardedDb {
  return "guard" in db && "unguarded" in db;
}

/** The database without its guard: for its schema, which any process that starts may migrate. */
export function unguarded(db: Db): Db {
  return isGuarded(db) ? db.unguarded : db;
}

/** A statement whose parameters come after `count` others. */
export function overParams({ sql, params }: SqlWrite, count: number): SqlWrite {
  return { sql: shifted(sql, count), params };
}

function shifted(sql: string, by: number): string {
  return sql.replace(/\$(\d+)/g, (_, number: string) => `$${Number(number) + by}`);
}

function arraysOf(types: readonly string[]): string {
  const arrays = types.map((type, column) => `$${column + 1}::${type}[]`);
  const names = types.map((_, column) => `column${column + 1}`);
  return `SELECT * FROM unnest(${arrays.join(", ")}) AS u (${names.join(", ")})`;
}

function placeholders(types: readonly string[], rows: number): string {
  return Array.from({ length: rows }, (_, row) => {
    const params = types.map((type, column) => `$${row * types.length + column + 1}::${type}`);
    return `(${params.join(", ")})`;
  }).join(", ");
}
