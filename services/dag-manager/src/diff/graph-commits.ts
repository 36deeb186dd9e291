import { setImmediate } from "node:timers/promises";
import { QmtlError } from "@qmtl/sdk/rpc";
import { failpoints } from "@qmtl/service-kit";
import { DbError, type Tx } from "@qmtl/service-kit/db";
import type { DagStore } from "../store/dag-store.ts";
import { type GraphState, stateAfter } from "../store/graph-state.ts";
import { lockGraph } from "../store/graph-store.ts";
import { isOutdated, writeGraphChanges } from "../store/graph-writes.ts";
import { GraphCache } from "./graph-cache.ts";
import { type DiffPlan, planDiff, planFrom, readStateOf, type WantedGraph } from "./plan-diff.ts";
import { type DiffOrigin, type DiffWrites, diffWrites, storeDiff } from "./store-diff.ts";

/** Graphs that wait to be added, at most; more are refused. */
const waitingMax = 1_024;
/** Largest number of queues wanted by graphs that are added together; a larger graph is added alone. */
const joinedQueuesMax = 500;
/** How often a graph is planned, at most, while what it is planned from changes before it is written. */
const plansMax = 5;

interface GraphRequest {
  readonly graph: WantedGraph;
  readonly origin: DiffOrigin;
}

interface Waiting extends GraphRequest {
  resolve(plan: DiffPlan): void;
  reject(failure: unknown): void;
}

/**
 * Adds graphs to the stored one, in the order they come. Where no other process writes it, those of different
 * strategies that come at the same time, or while others are being added, are planned one after the other and written
 * together, in one statement and one commit; what is stored of them is read before only where it is not remembered. If
 * nothing was written, each of them is added by itself.
 */
export class GraphCommits {
  readonly #store: DagStore;
  readonly #cache = new GraphCache();
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

  async #addSome(requests: readonly Waiting[]): Promise<void> {
    if (requests.length > 1 && (await this.#addJoined(requests))) return;
    for (const { graph, origin, resolve, reject } of requests) {
      await this.#addAlone({ graph, origin }).then(resolve, reject);
    }
  }

  /** Resolves to false, with nothing stored, when each must be added by itself. */
  async #addJoined(requests: readonly Waiting[]): Promise<boolean> {
    const joined = await this.#planJoined(requests).catch(() => undefined);
    if (joined === undefined) return false;
    const { planned, after } = joined;
    if (planned.some(({ writes }) => !writes.isOneStatement)) return false;
    try {
      await this.#write(
        planned.map(({ writes }) => writes),
        after,
      );
    } catch (failure) {
      // A statement that the database refused has stored nothing; after any other failure the outcome is unknown.
      if (failure instanceof DbError && failure.sqlState !== undefined) return false;
      for (const { reject } of requests) reject(failure);
      return true;
    }
    requests.forEach(({ resolve }, at) => {
      resolve(planned[at]!.plan);
    });
    return true;
  }

  /** Plans each graph as if those before it were stored; `after` is what is stored once all are. */
  async #planJoined(requests: readonly GraphRequest[]): Promise<{
    readonly planned: readonly { readonly plan: DiffPlan; readonly writes: DiffWrites }[];
    readonly after: GraphState;
  }> {
    const { db } = this.#store;
    const graphs = requests.map(({ graph }) => graph);
    let after = this.#cache.recall(graphs) ?? (await readStateOf(db, graphs));
    const planned: { plan: DiffPlan; writes: DiffWrites }[] = [];
    for (const { graph, origin } of requests) {
      const plan = await planFrom(db, graph, after);
      const writes = diffWrites(plan, origin);
      after = stateAfter(after, writes.change);
      planned.push({ plan, writes });
    }
    return { planned, after };
  }

  async #addAlone(request: GraphRequest): Promise<DiffPlan> {
    for (let plans = 1; ; plans += 1) {
      const isLast = plans === plansMax;
      try {
        const planned = isLast ? undefined : await this.#planAndWrite(request);
        if (planned !== undefined) return planned;
        this.#cache.forget();
        return await this.#store.write((tx) => this.#planAndWriteIn(tx, request));
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
  async #planAndWrite(request: GraphRequest): Promise<DiffPlan | undefined> {
    if (!this.#store.isSole) return undefined;
    const { planned, after } = await this.#planJoined([request]);
    const [{ plan, writes }] = planned as [(typeof planned)[number]];
    if (!writes.isOneStatement) return undefined;
    await this.#write([writes], after);
    return plan;
  }

  /** Writes what one statement can hold. @param after what is stored then */
  async #write(writes: readonly DiffWrites[], after: GraphState): Promise<void> {
    const { db, clock } = this.#store;
    await failpoints.hit("dag.diff.before_commit");
    await this.#store.checkLeads();
    const changes = writes.map(({ change }) => change);
    try {
      await writeGraphChanges(db, changes, clock.nowMs());
      this.#cache.learn(after);
    } catch (failure) {
      this.#cache.forget();
      throw failure;
    }
  }

  async #planAndWriteIn(tx: Tx, { graph, origin }: GraphRequest): Promise<DiffPlan> {
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
