import type { Queryable } from "@qmtl/service-kit/db";

export type HaltScope = "all" | "account" | "world" | "strategy";

/** A halt in force. */
export interface Halt {
  readonly scope: HaltScope;
  /** Account, world or strategy; empty for all. */
  readonly target: string;
  readonly reason: string;
  readonly timeMs: number;
}

/** Whom a halt may cover. */
export interface HaltSubject {
  readonly account: string;
  readonly world: string;
  readonly strategy: string;
}

export function covers(halt: Pick<Halt, "scope" | "target">, subject: HaltSubject): boolean {
  return halt.scope === "all" || halt.target === subject[halt.scope];
}

/** The halts in force, as they are stored. */
export class Halts {
  readonly #halts = new Map<string, Halt>();

  static async load(db: Queryable): Promise<Halts> {
    const halts = new Halts();
    const rows = await db.query<Halt>(
      `SELECT scope, target, reason, time_ms AS "timeMs" FROM gateway.halt`,
    );
    for (const row of rows) halts.set(row);
    return halts;
  }

  get isAllStopped(): boolean {
    return this.#halts.has(keyOf({ scope: "all", target: "" }));
  }

  set(halt: Halt): void {
    this.#halts.set(keyOf(halt), halt);
  }

  delete(halt: Pick<Halt, "scope" | "target">): void {
    this.#halts.delete(keyOf(halt));
  }

  covering(subject: HaltSubject): Halt | undefined {
    for (const halt of this.#halts.values()) if (covers(halt, subject)) return halt;
    return undefined;
  }

  list(): Halt[] {
    return [...this.#halts.values()];
  }
}

export async function insertHalt(db: Queryable, halt: Halt): Promise<void> {
  await db.query(
    `INSERT INTO gateway.halt (scope, target, reason, time_ms) VALUES ($1, $2, $3, $4)
     ON CONFLICT (scope, target) DO UPDATE SET reason = excluded.reason`,
    [halt.scope, halt.target, halt.reason, halt.timeMs],
  );
}

export async function deleteHalt(
  db: Queryable,
  halt: Pick<Halt, "scope" | "target">,
): Promise<void> {
  await db.query("DELETE FROM gateway.halt WHERE scope = $1 AND target = $2", [
    halt.scope,
    halt.target,
  ]);
}

/** True when a stored halt covers any of the subjects. */
export async function isHalted(db: Queryable, subjects: readonly HaltSubject[]): Promise<boolean> {
  const rows = await db.query<{ scope: HaltScope; target: string }>(
    "SELECT scope, target FROM gateway.halt",
  );
  return rows.some((halt) => subjects.some((subject) => covers(halt, subject)));
}

function keyOf({ scope, target }: Pick<Halt, "scope" | "target">): string {
  return `${scope}\n${target}`;
}
