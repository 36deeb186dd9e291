import type { Queryable } from "@qmtl/service-kit/db";

type HaltScope = "all" | "account" | "world" | "strategy";

/** A halt in force. */
export interface Halt extends HaltCoverage {
  /** Names it for Resume. */
  readonly haltId: string;
  readonly reason: string;
  /** Who set it. */
  readonly principal: string;
  readonly timeMs: number;
}

/** What a halt does besides keeping new orders from leaving. */
export interface HaltActions {
  /** Cancel working opening orders. */
  readonly cancel: boolean;
  /** Close positions with reduce-only orders. */
  readonly flatten: boolean;
}

/** What a halt covers: at most one halt is in force for each. */
export interface HaltCoverage {
  readonly scope: HaltScope;
  /** Account, world or strategy; empty for all. */
  readonly target: string;
}

/** What a halt may cover. */
export interface HaltSubject {
  readonly account: string;
  readonly world: string;
  readonly strategy: string;
}

function covers(halt: HaltCoverage, subject: HaltSubject): boolean {
  return halt.scope === "all" || halt.target === subject[halt.scope];
}

/** The halts in force in this gateway. Those that are not stored yet are marked. */
export class Halts {
  readonly #halts = new Map<string, Halt>();
  readonly #unstored = new Set<string>();

  static async load(db: Queryable): Promise<Halts> {
    const halts = new Halts();
    await halts.load(db);
    return halts;
  }

  /** Adds the halts that are stored. */
  async load(db: Queryable): Promise<void> {
    for (const { halt } of await readHalts(db, [])) this.set(halt);
  }

  get isAllStopped(): boolean {
    return this.#halts.has(keyOf({ scope: "all", target: "" }));
  }

  set(halt: Halt): void {
    this.#halts.set(keyOf(halt), halt);
  }

  delete(place: HaltCoverage): void {
    const halt = this.at(place);
    if (halt !== undefined) this.#unstored.delete(halt.haltId);
    this.#halts.delete(keyOf(place));
  }

  /** The halt with exactly this coverage; undefined for none. */
  at(place: HaltCoverage): Halt | undefined {
    return this.#halts.get(keyOf(place));
  }

  byId(haltId: string): Halt | undefined {
    return this.list().find((halt) => halt.haltId === haltId);
  }

  covering(subject: HaltSubject): Halt | undefined {
    for (const halt of this.#halts.values()) if (covers(halt, subject)) return halt;
    return undefined;
  }

  allCovering(subject: HaltSubject): Halt[] {
    return this.list().filter((halt) => covers(halt, subject));
  }

  /** Oldest first. */
  list(): Halt[] {
    return [...this.#halts.values()].sort(
      (a, b) => a.timeMs - b.timeMs || (a.haltId < b.haltId ? -1 : 1),
    );
  }

  /** The store does not answer: the halt is in force in this process only, until `stored` is called. */
  unstored(haltId: string): void {
    this.#unstored.add(haltId);
  }

  stored(haltId: string): void {
    this.#unstored.delete(haltId);
  }

  isStored(haltId: string): boolean {
    return !this.#unstored.has(haltId);
  }
}

/** A halt as it is stored, with what it was asked to do on some accounts and nobody has done yet. */
interface StoredHalt {
  readonly halt: Halt;
  readonly leftToDo: HaltActions;
}

/** All halts that are stored, and what is left to do of each on any of the accounts. */
export async function readHalts(db: Queryable, accounts: readonly string[]): Promise<StoredHalt[]> {
  const rows = await db.query<Halt & HaltActions>(
    `SELECT halt_id AS "haltId", scope, target, reason, principal, time_ms AS "timeMs",
       to_cancel && $1::text[] AS cancel, to_flatten && $1::text[] AS flatten FROM gateway.halt`,
    [[...accounts]],
  );
  return rows.map(({ cancel, flatten, ...halt }) => ({ halt, leftToDo: { cancel, flatten } }));
}

/** Adds what is left to do of a stored halt on these accounts. */
export async function writeLeftToDo(
  db: Queryable,
  { scope, target }: HaltCoverage,
  { cancel, flatten }: HaltActions,
  accounts: readonly string[],
): Promise<void> {
  await db.query(
    `UPDATE gateway.halt SET to_cancel = to_cancel || $3::text[], to_flatten = to_flatten || $4::text[]
     WHERE scope = $1 AND target = $2`,
    [scope, target, cancel ? [...accounts] : [], flatten ? [...accounts] : []],
  );
}

/** Nothing is left to do of a stored halt on these accounts. */
export async function clearLeftToDo(
  db: Queryable,
  { scope, target }: HaltCoverage,
  accounts: readonly string[],
): Promise<void> {
  await db.query(
    `UPDATE gateway.halt SET to_cancel = ARRAY(SELECT unnest(to_cancel) EXCEPT SELECT unnest($3::text[])),
       to_flatten = ARRAY(SELECT unnest(to_flatten) EXCEPT SELECT unnest($3::text[]))
     WHERE scope = $1 AND target = $2`,
    [scope, target, [...accounts]],
  );
}

/** Resolves to false when it was stored with the same reason already. */
export async function insertHalt(db: Queryable, halt: Halt): Promise<boolean> {
  const rows = await db.query(
    `INSERT INTO gateway.halt (scope, target, halt_id, reason, principal, time_ms)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (scope, target) DO UPDATE SET reason = excluded.reason
       WHERE halt.reason <> excluded.reason
     RETURNING halt_id`,
    [halt.scope, halt.target, halt.haltId, halt.reason, halt.principal, halt.timeMs],
  );
  return rows.length > 0;
}

/** Resolves to false when there is none. */
export async function deleteHalt(db: Queryable, { scope, target }: HaltCoverage): Promise<boolean> {
  const rows = await db.query(
    "DELETE FROM gateway.halt WHERE scope = $1 AND target = $2 RETURNING halt_id",
    [scope, target],
  );
  return rows.length > 0;
}

/** True when a stored halt covers any of the subjects. */
export async function isHalted(db: Queryable, subjects: readonly HaltSubject[]): Promise<boolean> {
  const rows = await db.query<{ scope: HaltScope; target: string }>(
    "SELECT scope, target FROM gateway.halt",
  );
  return rows.some((halt) => subjects.some((subject) => covers(halt, subject)));
}

function keyOf({ scope, target }: HaltCoverage): string {
  return `${scope}\n${target}`;
}
