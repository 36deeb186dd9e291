import { setImmediate } from "node:timers/promises";
import { QmtlError } from "@qmtl/sdk/rpc";
import { failpoints } from "@qmtl/service-kit";
import { DbError, type Tx } from "@qmtl/service-kit/db";
import type { DagStore } from "../store/dag-store.ts";
import { stateAfter } from "../store/graph-state.ts";
import { lockGraph } from "../store/graph-store.ts";
import { isOutdated, writeGraphChanges } from "../store/graph-writes.ts";
import { type DiffPlan, planDiff, planFrom, readStateOf, type WantedGraph } from "./plan-diff.ts";
import { type DiffOrigin, type DiffWrites, diffWrites, storeDiff } from "./store-diff.ts";

/** Graphs that wait to be added, at most; more are refused. */
const waitingMax = 1_024;
/** Largest number of queues wanted by graphs that are added together; a larger graph is added alone. */
const joinedQueuesMax = 500;
/** How often a graph is planned, at most, while what it is planned from changes before it is written. */
const plansMax = 5;

interface Addition {
  readonly graph: WantedGraph;
  readonly origin: DiffOrigin;
}

interface Waiting extends Addition {
  resolve(plan: DiffPlan): void;
  reject(failure: unknown): void;
}

/**
 * Adds graphs to the stored one, in the order they come. Where no other process writes it, those of different
 * strategies that come at the same time, or while others are being added, are read, planned and written together: one
 * after the other, in two statements and one commit. If that writes nothing, each of them is added by itself.
 */
export class GraphCommits {
  readonly #store: DagStore;
  readonly #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(store: DagStore) {
    this.#store = store;
  }

  /**
   * Adds a graph, all of it or nothing; resolves to what was planned once it is stored.
   *
   * @throws {QmtlError} TOO_MANY_REQUESTS when too many graphs wait, or the stored one changes too fast; NOT_LEADER.
   */
  add(graph: WantedGraph, origin: DiffOrigin): Promise<DiffPlan> {
    if (this.#waiting.length >= waitingMax) {
      const message = "too many graphs wait to be added";
      return Promise.reject(new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100 }));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ graph, origin, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Graphs that came in with the same read of the sockets are joined with this one.
    await setImmediate();
    while (this.#waiting.length > 0) await this.#addSome(this.#take());
    this.#isRunning = false;
  }

  /** The oldest waiting graphs that can be added together; one at least. */
  #take(): Waiting[] {
    const strategies = new Set<string>();
    let queues = 0;
    const end = this.#waiting.findIndex(({ graph }, at) => {
      queues += graph.wanted.length;
      const isApart = !this.#store.isSole || strategies.has(graph.strategyId);
      strategies.add(graph.strategyId);
      return at > 0 && (isApart || queues > joinedQueuesMax);
    });
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  async #addSome(additions: readonly Waiting[]): Promise<void> {
    if (additions.length > 1 && (await this.#addJoined(additions))) return;
    for (const { graph, origin, resolve, reject } of additions) {
      await this.#addAlone({ graph, origin }).then(resolve, reject);
    }
  }

  /** Resolves to false, with nothing stored, when each must be added by itself. */
  async #addJoined(additions: readonly Waiting[]): Promise<boolean> {
    const planned = await this.#planJoined(additions).catch(() => undefined);
    if (planned === undefined || planned.some(({ writes }) => !writes.isOneStatement)) return false;
    try {
      await this.#write(planned.map(({ writes }) => writes));
    } catch (failure) {
      // A statement that the database refused has stored nothing; after any other failure the outcome is unknown.
      if (failure instanceof DbError && failure.sqlState !== undefined) return false;
      for (const { reject } of additions) reject(failure);
      return true;
    }
    additions.forEach(({ resolve }, at) => {
      resolve(planned[at]!.plan);
    });
    return true;
  }

  /** Plans each graph as if those before it were stored. */
  async #planJoined(
    additions: readonly Addition[],
  ): Promise<{ readonly plan: DiffPlan; readonly writes: DiffWrites }[]> {
    const { db } = this.#store;
    const graphs = additions.map(({ graph }) => graph);
    let state = await readStateOf(db, graphs);
    const planned: { plan: DiffPlan; writes: DiffWrites }[] = [];
    for (const { graph, origin } of additions) {
      const plan = await planFrom(db, graph, state);
      const writes = diffWrites(plan, origin);
      state = stateAfter(state, writes.change);
      planned.push({ plan, writes });
    }
    return planned;
  }

  async #addAlone(addition: Addition): Promise<DiffPlan> {
    const store = this.#store;
    for (let plans = 1; ; plans += 1) {
      const isLast = plans === plansMax;
      try {
        const planned = isLast ? undefined : await this.#planAndWrite(addition);
        return planned ?? (await store.write((tx) => this.#planAndWriteIn(tx, addition)));
      } catch (failure) {
        if (!isOutdated(failure)) throw failure;
        if (isLast) throw changing(failure);
      }
    }
  }

  /**
   * Plans, then writes in one statement, which refuses what has changed in between. Undefined, with nothing stored,
   * where other processes write the graph, too, or one statement cannot hold it.
   */
  async #planAndWrite({ graph, origin }: Addition): Promise<DiffPlan | undefined> {
    const { db, isSole } = this.#store;
    if (!isSole) return undefined;
    const plan = await planDiff(db, graph);
    const writes = diffWrites(plan, origin);
    if (!writes.isOneStatement) return undefined;
    await this.#write([writes]);
    return plan;
  }

  /** Writes what one statement can hold. */
  async #write(writes: readonly DiffWrites[]): Promise<void> {
    const { db, clock } = this.#store;
    await failpoints.hit("dag.diff.before_commit");
    await this.#store.checkLeads();
    const changes = writes.map(({ change }) => change);
    await writeGraphChanges(db, changes, clock.nowMs());
  }

  async #planAndWriteIn(tx: Tx, { graph, origin }: Addition): Promise<DiffPlan> {
    const { clock, isSole } = this.#store;
    if (!isSole) await lockGraph(tx);
    const plan = await planDiff(tx, graph);
    const worldIds = origin.contexts.map(({ worldId }) => worldId);
    await storeDiff(tx, diffWrites(plan, origin), worldIds, clock.nowMs());
    await failpoints.hit("dag.diff.before_commit");
    return plan;
  }
}

function changing(cause: unknown): QmtlError {
  const message = "the graph changes faster than it can be compared with; try again";
  return new QmtlError("TOO_MANY_REQUESTS", message, { retryAfterMs: 100, cause });
}
