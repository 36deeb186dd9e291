import { ApplyPhase, Gate, HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type Db, DbUnavailable, UnknownOutcome } from "@qmtl/service-kit/db";
import { ManualClock, openTestPglite, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { makeWorld } from "../testing/make-world.ts";
import {
  advance,
  drive,
  FakeSession,
  type OpenWorldService,
  openWorldService,
} from "../testing/open-world-service.ts";

/** How a transaction that was held ends: it is refused, or committed and then its answer lost. */
interface End {
  readonly refusal?: Error;
  readonly lost?: Error;
}

/** The transactions of a database, each of which waits until the test ends it. */
class HeldTransactions {
  begun = 0;
  /** Largest number of them open at the same time. */
  openMax = 0;
  #open = 0;
  #isFree = false;
  readonly #held: ((end: End) => void)[] = [];

  constructor(db: Db) {
    const transaction = db.transaction.bind(db);
    vi.spyOn(db, "transaction").mockImplementation(async (statements) => {
      this.begun += 1;
      this.#open += 1;
      this.openMax = Math.max(this.openMax, this.#open);
      try {
        const end = this.#isFree ? {} : await new Promise<End>((go) => this.#held.push(go));
        if (end.refusal !== undefined) throw end.refusal;
        const result = await transaction(statements);
        if (end.lost !== undefined) throw end.lost;
        return result;
      } finally {
        this.#open -= 1;
      }
    });
  }

  /** Ends those that wait, and holds those to come. */
  endAll(): void {
    for (const go of this.#held.splice(0)) go({});
  }

  /** Ends the one that has waited longest. */
  end(how: End = {}): void {
    const go = this.#held.shift();
    if (go === undefined) throw new Error("no transaction waits");
    go(how);
  }

  /** Ends those that wait, and holds no further ones. */
  free(): void {
    this.#isFree = true;
    this.endAll();
  }
}

/** Lets everything continue that waits for nothing outside of this process. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let host: Awaited<ReturnType<typeof openTestPglite>>;
let w: OpenWorldService;
let held: HeldTransactions;
const clock = new ManualClock();
beforeAll(async () => {
  host = await openTestPglite();
  w = await openWorldService((schema) => host.db(schema), clock);
});
afterEach(() => {
  held.free();
  vi.restoreAllMocks();
});
afterAll(async () => {
  await w.instance.stop();
  await host.close();
});

const actorOf = (worldId: string) => () => w.instance.worlds.get(worldId);

/** A world whose strategies are active. */
async function makeActive(worldId: string, strategyIds: readonly string[]): Promise<void> {
  await makeWorld(w, worldId, strategyIds);
  const ask = { worldId, runId: "r1", targetMode: EffectiveMode.COMPUTE_ONLY };
  await drive(clock, actorOf(worldId), w.collect(ActivationService.method.apply, ask));
}

const cutEdge = (worldId: string) =>
  w.call(WorldService.method.upsertEdgeOverride, {
    edge: { worldId, source: "from", target: "to", active: false, reason: "test" },
  });

const freeze = (worldId: string) =>
  w.call(ActivationService.method.freeze, { worldId, hold: HoldKind.MANUAL, reason: "test" });

/** How often the override is in memory, and in the store. */
async function cutEdges(worldId: string): Promise<unknown[]> {
  const { edges } = await w.call(WorldService.method.listEdgeOverrides, { worldId });
  const sql = "SELECT body->'edges' AS edges FROM world.gate WHERE world_id = $1";
  const [row] = await w.db.query<{ edges: { source: string }[] }>(sql, [worldId]);
  const isCut = ({ source }: { source: string }): boolean => source === "from";
  return [edges.filter(isCut).length, row?.edges.filter(isCut).length];
}

describe("commits of one world", () => {
  test("are made one after the other, also of an edge override and a new emitter, and a freeze meanwhile is not refused as busy", async () => {
    const worldId = "one-by-one";
    await makeActive(worldId, ["a"]);
    const session = new FakeSession(actorOf(worldId), "s1", ["a"]);
    held = new HeldTransactions(w.db);
    const edge = cutEdge(worldId);
    await turn();
    const beat = session.beat();
    await turn();
    held.end();
    await edge;
    const frozen = freeze(worldId);
    await turn();
    held.free();

    const { gate } = await frozen;
    expect(gate?.holds.map(({ kind }) => kind)).toContain(HoldKind.MANUAL);
    await beat;
    expect(held.openMax).toBe(1);
    expect(await cutEdges(worldId)).toEqual([1, 1]);
  });

  test("that are slow keep no session from its renewal, and what it may take over waits for the next one", async () => {
    const worldId = "renewed";
    await makeActive(worldId, ["a", "b"]);
    const other = new FakeSession(actorOf(worldId), "s2", ["b"]);
    const session = new FakeSession(actorOf(worldId), "s1", ["a", "b"]);
    expect((await other.beat()).granted).toBe(true);
    const emitterFor = new Map([["a", "s1"]]);
    expect(await session.beat()).toMatchObject({ granted: true, emitterFor });
    clock.advance(actorOf(worldId)().row.maxLeaseMs);
    await actorOf(worldId)().settled();
    held = new HeldTransactions(w.db);
    const edge = cutEdge(worldId);
    await turn();

    expect(await session.beat()).toMatchObject({ granted: true, emitterFor });
    expect(held.begun).toBe(1);

    held.free();
    await edge;
  });

  test("that fail let everybody go who waited for them: one try at the store, not one for each", async () => {
    const worldId = "refused";
    const strategyIds = ["a", "b", "c"];
    await makeActive(worldId, strategyIds);
    const sessions = strategyIds.map((id) => new FakeSession(actorOf(worldId), `s-${id}`, [id]));
    held = new HeldTransactions(w.db);
    const beats = Promise.allSettled(sessions.map((session) => session.beat()));
    await turn();
    held.end({ refusal: new DbUnavailable("down") });

    const [first, ...others] = await beats;
    expect(first).toMatchObject({ status: "rejected", reason: { reason: "STORE_UNAVAILABLE" } });
    expect(others).toMatchObject([
      { status: "fulfilled", value: { granted: false, refusal: "NOT_EMITTER" } },
      { status: "fulfilled", value: { granted: false, refusal: "NOT_EMITTER" } },
    ]);
    expect(held.begun).toBe(1);

    held.free();
    const again = await Promise.all(sessions.map((session) => session.beat()));
    expect(again.map(({ granted }) => granted)).toEqual([true, true, true]);
  });

  test("whose outcome is not known are read again before an emitter is written over them", async () => {
    const worldId = "unknown";
    await makeActive(worldId, ["a"]);
    const session = new FakeSession(actorOf(worldId), "s1", ["a"]);
    held = new HeldTransactions(w.db);
    const edge = cutEdge(worldId);
    await turn();
    held.end({ lost: new UnknownOutcome("the connection was lost") });
    await expect(edge).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    held.free();

    expect(await session.beat()).toMatchObject({ granted: false, refusal: "NOT_EMITTER" });
    expect(held.begun).toBe(1);
    await actorOf(worldId)().settled();

    expect((await session.beat()).granted).toBe(true);
    expect(await cutEdges(worldId)).toEqual([1, 1]);
  });
});

describe("what an operator asks while a run is passing its point of no return", () => {
  /** An apply whose unfreeze is being committed. */
  async function unfreezing(worldId: string, runId: string): Promise<{ run: Promise<unknown> }> {
    held = new HeldTransactions(w.db);
    const ask = { worldId, runId, targetMode: EffectiveMode.COMPUTE_ONLY };
    const run = w.collect(ActivationService.method.apply, ask);
    const reach = async (phase: "FREEZING" | "SWITCHED") => {
      for (; actorOf(worldId)().row.phase !== phase; await turn()) held.endAll();
    };
    await reach("FREEZING");
    clock.advance(25); // nobody has a lease
    await reach("SWITCHED");
    await turn();
    return { run };
  }

  test("to cancel it answers the run as it stands then, and is not refused", async () => {
    const worldId = "cancel-late";
    await makeWorld(w, worldId, ["a"]);
    const { run } = await unfreezing(worldId, "r1");
    const cancelled = w.call(ActivationService.method.cancelApply, {
      ...{ worldId, runId: "r1", reason: "too late" },
    });
    await turn();
    held.free();

    const phase = (await cancelled).run?.phase;
    expect([ApplyPhase.UNFROZEN, ApplyPhase.COMPLETED]).toContain(phase);
    await drive(clock, actorOf(worldId), run);
    expect(actorOf(worldId)().row.gate).toBe("OPEN");
  });

  test("to take the hold of a rollback away is done when the run took it away, and is not refused", async () => {
    const worldId = "resume-late";
    await makeWorld(w, worldId, ["a"]);
    const ask = { worldId, runId: "r1", targetMode: EffectiveMode.COMPUTE_ONLY };
    const rolledBack = w.collect(ActivationService.method.apply, ask);
    await waitUntil(() => actorOf(worldId)().row.phase === "FREEZING");
    await w.call(ActivationService.method.cancelApply, { worldId, runId: "r1", reason: "test" });
    await rolledBack;
    await advance(clock, actorOf(worldId), 50);
    expect(actorOf(worldId)().row).toMatchObject({ gate: "CLOSED", holds: ["rollback"] });
    const { run } = await unfreezing(worldId, "r2");
    const resumed = w.call(ActivationService.method.resume, {
      ...{ worldId, reason: "go on" },
      hold: HoldKind.ROLLBACK,
    });
    await turn();
    held.free();

    expect((await resumed).gate).toMatchObject({ gate: Gate.OPEN, holds: [] });
    await drive(clock, actorOf(worldId), run);
  });
});
