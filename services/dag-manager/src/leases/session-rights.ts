import type { QueueRecord } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallContext, SessionScope } from "@qmtl/service-kit";
import type { Queryable } from "@qmtl/service-kit/db";
import type { SourcePins } from "../log/queue-log.ts";
import { sourcePins } from "../store/context-store.ts";
import { type KeyUse, keyUses } from "../store/key-use-store.ts";

/** Largest number of keys remembered; the one looked up longest ago is dropped first. */
const keysMax = 100_000;

const noPins: SourcePins = new Map();

/** The session a call acts for; the server lets no call without one through to methods that need a ticket. */
export function sessionOf({ session }: CallContext): SessionScope {
  if (session === undefined) throw new Error("a call without a session");
  return session;
}

/**
 * Which keys a session may hold and publish, by its ticket: with COMPUTE the nodes of its strategies in its world, with
 * FEED the queues of its sources. A key once covered is not looked up again, since a strategy never loses a node.
 */
export class SessionRights {
  readonly #db: Queryable;
  readonly #known = new Map<string, KeyUse>();

  constructor(db: Queryable) {
    this.#db = db;
  }

  /**
   * Refuses a session that may not hold one of the keys.
   *
   * @throws {QmtlError} QUEUE_NOT_FOUND, TICKET_SCOPE, naming the first such key.
   */
  async check(scope: SessionScope, computeKeys: readonly string[]): Promise<void> {
    const covered = await this.covered(scope, computeKeys);
    const refused = computeKeys.find((key) => !covered.has(key));
    if (refused === undefined) return;
    const use = this.#known.get(refused);
    const metadata = { compute_key: refused };
    if (use === undefined) {
      throw new QmtlError("QUEUE_NOT_FOUND", `no queue for ${refused}`, { metadata });
    }
    const what = use.isSource
      ? `FEED of source ${use.source}`
      : "COMPUTE of a strategy that contains it";
    throw new QmtlError("TICKET_SCOPE", `the ticket does not cover ${refused}: it needs ${what}`, {
      metadata: { ...metadata, session_id: scope.sessionId },
    });
  }

  /** Those of the keys that the session may hold. */
  async covered(scope: SessionScope, computeKeys: readonly string[]): Promise<ReadonlySet<string>> {
    const isCovered = (key: string): boolean => covers(scope, this.#known.get(key));
    const unsure = new Set(computeKeys.filter((key) => !isCovered(key)));
    // What is remembered may be stale: another strategy may share the node by now.
    if (unsure.size > 0) await this.#look([...unsure]);
    return new Set(computeKeys.filter(isCovered));
  }

  /**
   * What the session's strategies pin the sources to whose queues are begun by a START among the records; nothing for
   * sources that they do not pin. The keys have been checked.
   */
  async pins(
    { worldId, strategyIds }: SessionScope,
    records: readonly QueueRecord[],
  ): Promise<SourcePins> {
    const begun = new Set<string>();
    for (const { computeKey, body } of records) {
      const use = body.case === "start" ? this.#known.get(computeKey) : undefined;
      if (use?.isSource === true) begun.add(use.source);
    }
    if (begun.size === 0 || strategyIds.length === 0) return noPins;
    return sourcePins(this.#db, worldId, strategyIds, [...begun]);
  }

  async #look(computeKeys: readonly string[]): Promise<void> {
    for (const [key, use] of await keyUses(this.#db, computeKeys)) {
      this.#known.delete(key);
      this.#known.set(key, use);
    }
    for (const key of this.#known.keys()) {
      if (this.#known.size <= keysMax) return;
      this.#known.delete(key);
    }
  }
}

function covers(scope: SessionScope, use: KeyUse | undefined): boolean {
  if (use === undefined) return false;
  const { rights, sources, strategyIds, worldId } = scope;
  if (use.isSource) return rights.includes("feed") && sources.includes(use.source);
  const isOwn = use.worldId === worldId && strategyIds.some((id) => use.strategyIds.has(id));
  return isOwn && rights.includes("compute");
}
