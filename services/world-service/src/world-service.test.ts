import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { ApplyPhase, Gate, GateChange, HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { NackReason } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { TermName } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import {
  RebalanceMode,
  RebalancingService,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  SessionKind,
  SubscriptionService,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { heartbeatToProto } from "@qmtl/sdk/rpc";
import { type Leadership, silentLogger, systemClock } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { migrate, openPostgres } from "@qmtl/service-kit/db";
import {
  describePostgres,
  ManualClock,
  openTestPglite,
  waitUntil,
} from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  advance,
  drive,
  FakeSession,
  type OpenWorldService,
  openWorldService,
} from "./testing/open-world-service.ts";
import { worldLeadership } from "./world/leadership.ts";

const dayMs = 86_400_000;
const startMs = Date.UTC(2015, 0, 2);
const policy = `min_samples: 60
thresholds:
  drawdown:  {metric: max_drawdown_ratio, max: 0.25}
  shortfall: {metric: sharpe_shortfall, max: 3}
hysteresis:  {metric: sharpe, enter: 0.4, exit: -4}
`;

function returnsOf(samples: number, sharpe: number): Float64Array {
  const half = samples - (samples % 2);
  const spread = Math.sqrt(half / (samples - 1));
  return Float64Array.from({ length: samples }, (_, i) => {
    const side = i < half ? (i % 2 === 0 ? 1 : -1) : 0;
    return 0.005 * (side / spread + sharpe / Math.sqrt(252));
  });
}

function report(
  strategyId: string,
  domain: ExecutionDomain,
  values: Float64Array,
  firstMs = startMs,
) {
  const ends = Array.from(values, (_, i) => firstMs + (i + 1) * dayMs);
  return {
    strategyId,
    dataEndTime: timestampFromMs(ends.at(-1) ?? firstMs),
    series: {
      interval: durationFromMs(dayMs),
      periodsPerYear: 252,
      domain,
      returns: [...values],
      bucketEndMs: ends,
    },
  };
}

function suite(
  open: () => Promise<{ dbOf: (schema: string) => Db; close: () => Promise<void> }>,
): void {
  const clock = new ManualClock();
  let store: { dbOf: (schema: string) => Db; close: () => Promise<void> };
  let w: OpenWorldService;
  const actorOf = (worldId: string) => () => w.instance.worlds.get(worldId);

  beforeAll(async () => {
    store = await open();
    w = await openWorldService(store.dbOf, clock);
  });

  afterAll(async () => {
    await w.instance.stop();
    await store.close();
  });

  /** A replay world with A, B and C bound, judged by the demo's policy on synthetic backtests. */
  async function makeWorld(
    worldId: string,
    sharpes: Record<string, number> = { a: 0.6125, b: 0.7011, c: 13.9617 },
  ) {
    const world = {
      worldId,
      clock: WorldClock.REPLAY,
      source: "spx",
      accountId: `acc-${worldId}`,
    };
    await w.call(WorldService.method.createWorld, { world });
    await w.call(PolicyService.method.createPolicy, { worldId, document: policy });
    const names = Object.keys(sharpes);
    await w.call(WorldService.method.createBindings, {
      worldId,
      strategies: names.map((strategyId) => ({ strategyId, strategyName: strategyId })),
    });
    const returns = names.map((id) =>
      report(id, ExecutionDomain.BACKTEST, returnsOf(3772, sharpes[id]!), 0),
    );
    await w.call(DecisionService.method.reportReturns, { worldId, returns });
  }

  /** Begins an apply; the test moves time. */
  const begin = (worldId: string, runId: string, targetMode: EffectiveMode, more = {}) =>
    w.collect(ActivationService.method.apply, { worldId, runId, targetMode, ...more });

  /** An apply to its end, time moving by itself. */
  const apply = (...args: Parameters<typeof begin>) =>
    drive(clock, actorOf(args[0]), begin(...args));

  /** Two applies: validate → compute-only → paper. */
  async function toPaper(worldId: string) {
    await apply(worldId, "r1", EffectiveMode.COMPUTE_ONLY);
    await apply(worldId, "r2", EffectiveMode.PAPER);
  }

  const gateOf = async (worldId: string) =>
    (await w.call(ActivationService.method.getActivation, { worldId })).gate!;

  test("a new world is open, validates nothing, and is audited", async () => {
    await makeWorld("fresh");

    const gate = await gateOf("fresh");
    const { decision } = await w.call(DecisionService.method.decide, { worldId: "fresh" });
    const { entries } = await w.call(WorldService.method.listAuditEntries, { worldId: "fresh" });

    expect([gate.fence, gate.gate]).toEqual([1n, Gate.OPEN]);
    expect(decision?.effectiveMode).toBe(EffectiveMode.VALIDATE);
    expect(decision?.reason).toContain("nothing_selected");
    expect(decision?.executionDomain).toBe(0);
    expect(entries.map((e) => e.entry)).toEqual([1n, 2n, 3n]);
    expect(entries.map((e) => e.type)).toEqual(["world_created", "policy_added", "bindings_added"]);
    await expect(makeWorld("fresh")).rejects.toMatchObject({ reason: "WORLD_EXISTS" });
  });

  test("stages rise one at a time, and each phase is told as it is committed", async () => {
    await makeWorld("steps");
    await expect(apply("steps", "r0", EffectiveMode.PAPER)).rejects.toMatchObject({
      reason: "MODE_NOT_REACHABLE",
      message: expect.stringContaining("compute-only comes before paper"),
      metadata: { stage: "validate", next: "compute-only" },
    });

    const phases = await apply("steps", "r1", EffectiveMode.COMPUTE_ONLY);
    await apply("steps", "r2", EffectiveMode.PAPER);
    const gate = await gateOf("steps");

    expect(phases.map((p) => p.phase)).toEqual([
      ApplyPhase.FREEZING,
      ApplyPhase.SWITCHED,
      ApplyPhase.UNFROZEN,
      ApplyPhase.COMPLETED,
    ]);
    expect(gate.fence).toBe(3n);
    expect(gate.decision?.mode).toBe(EffectiveMode.PAPER);
    expect(gate.activations).toHaveLength(6);
    expect(gate.activations.every((a) => a.active && a.weight === 1)).toBe(true);
    expect(gate.activations.every((a) => a.effectiveMode === EffectiveMode.PAPER)).toBe(true);
  });

  test("the same run again says where it stands; other content is refused", async () => {
    await makeWorld("again");
    const first = await apply("again", "r1", EffectiveMode.COMPUTE_ONLY);
    const second = await apply("again", "r1", EffectiveMode.COMPUTE_ONLY);

    expect(second).toEqual(first);
    await expect(apply("again", "r1", EffectiveMode.PAPER)).rejects.toMatchObject({
      reason: "RUN_ID_REUSED",
    });
    expect((await gateOf("again")).fence).toBe(2n);
  });

  test("an apply waits for the acknowledgements of a session with a lease", async () => {
    await makeWorld("acks");
    await toPaper("acks");
    const session = new FakeSession(actorOf("acks"), "s-acks", ["a"]);
    const router = new FakeSession(actorOf("acks"), "d-acks", "*");
    expect(await session.beat()).toMatchObject({ granted: true });
    const routerReply = await router.beat();
    expect(routerReply).toMatchObject({ granted: true });
    expect(routerReply.granted && [...routerReply.emitterFor]).toEqual([["a", "s-acks"]]);

    const running = begin("acks", "r3", EffectiveMode.PAPER);
    await advance(clock, actorOf("acks"), 200);
    expect(actorOf("acks")().row.phase).toBe("FREEZING");
    expect(await session.beat()).toMatchObject({ granted: false, refusal: "FROZEN" });
    await router.beat();
    await advance(clock, actorOf("acks"), 50);
    expect(actorOf("acks")().row.phase).toBe("SWITCHED");
    await session.beat();
    await router.beat();
    await advance(clock, actorOf("acks"), 50);
    expect(await session.beat()).toMatchObject({ granted: true });
    await router.beat();
    await advance(clock, actorOf("acks"), 50);

    const phases = await running;
    expect(phases.at(-1)).toMatchObject({ phase: ApplyPhase.COMPLETED });
    const waiting = ["d-acks", "s-acks"].map((sessionId) => {
      return { sessionId, origin: { process: `host-of-${sessionId}:1` } };
    });
    expect(phases[0]).toMatchObject({ sessions: 2, acknowledged: 0, waitingSessions: waiting });
    expect(phases[1]).toMatchObject({ sessions: 2, acknowledged: 2, waitingSessions: [] });
  });

  test("a session that never acknowledges is waited for one lease, no longer", async () => {
    await makeWorld("mute");
    await toPaper("mute");
    const session = new FakeSession(actorOf("mute"), "s-mute", ["a"]);
    await session.beat();
    session.obeys = false;

    const running = begin("mute", "r3", EffectiveMode.PAPER);
    await advance(clock, actorOf("mute"), 9_000);
    expect(actorOf("mute")().row.phase).toBe("FREEZING");
    await advance(clock, actorOf("mute"), 1_500);

    expect((await running).at(-1)?.phase).toBe(ApplyPhase.COMPLETED);
  });

  test("a NACK rolls back: decision and activations as before, held until resumed", async () => {
    await makeWorld("nack");
    await toPaper("nack");
    const session = new FakeSession(actorOf("nack"), "s-nack", ["a"]);
    await session.beat();
    const before = await gateOf("nack");

    const running = begin("nack", "r3", EffectiveMode.PAPER, { plan: { deactivate: ["c"] } });
    await advance(clock, actorOf("nack"), 50);
    const { fence, revision } = actorOf("nack")().row;
    await w.call(SubscriptionService.method.relayNack, {
      claim: {
        sessionId: "s-nack",
        worldId: "nack",
        kind: SessionKind.TRADER,
        strategyIds: ["a"],
      },
      nack: { fence: BigInt(fence), revision: BigInt(revision), reason: NackReason.GAP },
    });
    await advance(clock, actorOf("nack"), 50);
    const last = (await running).at(-1);
    const held = await gateOf("nack");

    expect(last).toMatchObject({ phase: ApplyPhase.ROLLED_BACK });
    expect(held.decision).toEqual(before.decision);
    expect(held.activations).toEqual(before.activations);
    expect(held.holds.map((h) => h.kind)).toEqual([HoldKind.ROLLBACK]);
    expect(held.gate).not.toBe(Gate.OPEN);
    const resume = () =>
      w.call(ActivationService.method.resume, {
        worldId: "nack",
        hold: HoldKind.ROLLBACK,
        reason: "seen",
      });
    await expect(resume()).rejects.toMatchObject({ reason: "GATE_SHUT" });
    await session.beat();
    await advance(clock, actorOf("nack"), 50);
    expect((await resume()).gate?.gate).toBe(Gate.OPEN);
    await expect(apply("nack", "r3", EffectiveMode.PAPER)).rejects.toMatchObject({
      reason: "RUN_ID_REUSED",
    });
  });

  test("a cancel rolls back, and a second apply waits its turn", async () => {
    await makeWorld("cancel");
    await toPaper("cancel");
    const session = new FakeSession(actorOf("cancel"), "s-cancel", ["a"]);
    await session.beat();
    const running = begin("cancel", "r3", EffectiveMode.PAPER);
    await advance(clock, actorOf("cancel"), 50);
    await expect(begin("cancel", "r4", EffectiveMode.PAPER)).rejects.toMatchObject({
      reason: "APPLY_IN_PROGRESS",
    });

    const { run } = await w.call(ActivationService.method.cancelApply, {
      worldId: "cancel",
      runId: "r3",
      reason: "changed my mind",
    });

    expect(run).toMatchObject({
      phase: ApplyPhase.ROLLED_BACK,
      reason: "cancelled: changed my mind",
    });
    expect((await running).at(-1)?.phase).toBe(ApplyPhase.ROLLED_BACK);
  });

  test("a freeze that comes while a step of an apply is committed takes the next turn, and is not refused as busy", async () => {
    const worldId = "between";
    await makeWorld(worldId);
    const actor = actorOf(worldId)();
    const running = begin(worldId, "r1", EffectiveMode.COMPUTE_ONLY);
    while (actor.row.phase !== "FREEZING") await actor.changed(AbortSignal.timeout(10_000));
    clock.advance(25); // nobody has a lease: the switch is being committed, and the unfreeze is due right after

    const { gate } = await w.call(ActivationService.method.freeze, {
      ...{ worldId, reason: "stop" },
      hold: HoldKind.MANUAL,
    });

    expect(gate?.holds.map(({ kind }) => kind)).toContain(HoldKind.MANUAL);
    expect(gate?.gate).not.toBe(Gate.OPEN);
    await running;
  });

  test("a held world takes no apply; the freeze raises the fence", async () => {
    await makeWorld("held");
    const freeze = { worldId: "held", hold: HoldKind.MANUAL, reason: "lunch" };
    const { gate } = await w.call(ActivationService.method.freeze, freeze);
    expect(gate).toMatchObject({ fence: 2n, holds: [{ kind: HoldKind.MANUAL, reason: "lunch" }] });
    await expect(apply("held", "r1", EffectiveMode.COMPUTE_ONLY)).rejects.toMatchObject({
      reason: "WORLD_HELD",
    });
    await advance(clock, actorOf("held"), 50);

    const answer = await w.call(ActivationService.method.resume, { ...freeze, reason: "back" });

    expect(answer.gate).toMatchObject({ gate: Gate.OPEN, fence: 2n, holds: [] });
  });

  test("C is demoted on its paper series with shortfall 9.03 > 3, and not let in again", async () => {
    await makeWorld("demo");
    await toPaper("demo");
    const paper = { a: 0.76, b: 1.27, c: -4.6988 };
    const day = (from: number, until: number) =>
      Object.entries(paper).map(([id, sharpe]) =>
        report(
          id,
          ExecutionDomain.DRYRUN,
          returnsOf(63, sharpe).slice(from, until),
          startMs + from * dayMs,
        ),
      );
    const send = (from: number, until: number, role: "gateway" | "owner" = "gateway") =>
      w.call(
        DecisionService.method.reportReturns,
        {
          worldId: "demo",
          returns: day(from, until),
          watermarkTime: timestampFromMs(startMs + until * dayMs),
        },
        role,
      );
    await expect(send(0, 42, "owner")).rejects.toMatchObject({ reason: "ROLE_REQUIRED" });
    expect((await send(0, 42)).samples).toEqual([42, 42, 42]);
    const early = await w.call(DecisionService.method.evaluate, { worldId: "demo" });
    expect(early.evaluation?.lowered).toEqual([]);
    expect((await send(40, 63)).samples).toEqual([63, 63, 63]);

    const { evaluation, effectiveTime } = await w.call(DecisionService.method.evaluate, {
      worldId: "demo",
      requestId: "bar-63",
    });
    const again = await w.call(DecisionService.method.evaluate, {
      worldId: "demo",
      requestId: "bar-63",
    });
    const gate = await gateOf("demo");
    await apply("demo", "drop-c", EffectiveMode.PAPER);

    expect(evaluation?.lowered).toEqual(["c"]);
    expect(effectiveTime).toBeDefined();
    expect(again.evaluation?.evaluationId).toBe(evaluation?.evaluationId);
    const trace = evaluation?.strategies.find((s) => s.strategyId === "c");
    expect(trace?.rules.map((rule) => rule.text)).toContain("shortfall 9.03 > 3");
    expect(trace?.stageAfter).toBe(EffectiveMode.COMPUTE_ONLY);
    const sides = gate.activations.filter((a) => a.strategyId === "c");
    expect(sides.map((a) => [a.active, a.effectiveMode])).toEqual([
      [false, EffectiveMode.COMPUTE_ONLY],
      [false, EffectiveMode.COMPUTE_ONLY],
    ]);
    expect(gate.requiredRevision).toBe(gate.revision);
    const { activations } = await gateOf("demo");
    expect(activations.filter((a) => a.active).map((a) => a.strategyId)).toEqual([
      "a",
      "a",
      "b",
      "b",
    ]);
  });

  test("every event of a gate is in the outbox once, gap-free, with the hash of the state", async () => {
    const rows = await w.db.query<{ payload: Uint8Array; revision: number }>(
      "SELECT payload, revision FROM world.outbox WHERE key = 'world/demo/gate' ORDER BY id",
    );
    const events = rows.map((row) => fromBinary(ControlEventSchema, row.payload));

    expect(events.map((e) => Number(e.revision))).toEqual(events.map((_, i) => i + 1));
    const gates = events.map((e) => (e.payload.case === "gateEvent" ? e.payload.value : undefined));
    expect(gates.every((g) => g?.state?.stateHash.startsWith("blake3:"))).toBe(true);
    expect(gates.map((g) => g?.change).slice(-3)).toEqual([
      GateChange.FREEZE,
      GateChange.SWITCH,
      GateChange.UNFREEZE,
    ]);
    expect(gates.filter((g) => g?.change === GateChange.DECISION && g.restrictive)).toHaveLength(1);
  });

  test("data that grow old lower to compute-only, and the term says so; fresh data raise it again", async () => {
    await makeWorld("stale", { a: 0.6 });
    await toPaper("stale");
    const one = report("a", ExecutionDomain.DRYRUN, Float64Array.of(0.01));
    const send = (returns: (typeof one)[], watermarkMs: number) =>
      w.call(
        DecisionService.method.reportReturns,
        { worldId: "stale", returns, watermarkTime: timestampFromMs(watermarkMs) },
        "gateway",
      );
    await send([one], startMs + dayMs);
    await send([], startMs + 12 * dayMs);
    const { decision } = await w.call(DecisionService.method.decide, { worldId: "stale" });
    const lowered = await gateOf("stale");
    const empty = report("a", ExecutionDomain.DRYRUN, new Float64Array(0), startMs + 12 * dayMs);
    await send([empty], startMs + 12 * dayMs);
    const raised = await gateOf("stale");

    const binding = decision?.strategies[0]?.terms.filter((t) => t.binding).map((t) => t.name);
    expect(binding).toEqual([TermName.DATA_CURRENCY]);
    expect(lowered.activations[0]?.effectiveMode).toBe(EffectiveMode.COMPUTE_ONLY);
    expect(lowered.requiredRevision).toBe(lowered.revision);
    expect(raised.activations[0]?.effectiveMode).toBe(EffectiveMode.PAPER);
  });

  test("switching off is at once, switching on needs an apply", async () => {
    await makeWorld("off", { a: 0.6 });
    await toPaper("off");
    const off = { worldId: "off", strategyId: "a", reason: "test" };
    const { activations } = await w.call(ActivationService.method.getActivation, {
      worldId: "off",
    });
    await expect(
      w.call(ActivationService.method.deactivate, { ...off, etag: "act:old" }),
    ).rejects.toMatchObject({ reason: "ETAG_MISMATCH" });

    const answer = await w.call(ActivationService.method.deactivate, {
      ...off,
      etag: activations[0]!.etag,
    });

    expect(answer.activations.map((a) => a.activation?.active)).toEqual([false, false]);
    const again = await w.call(ActivationService.method.deactivate, off);
    expect(again.activations).toEqual(answer.activations);
    await expect(
      w.call(ActivationService.method.deactivate, { ...off, strategyId: "z" }),
    ).rejects.toMatchObject({ reason: "ACTIVATION_NOT_FOUND" });
  });

  test("live needs three yeses", async () => {
    await w.call(WorldService.method.createWorld, {
      world: { worldId: "real", clock: WorldClock.WALL, allowLive: true },
    });
    const actor = actorOf("real")();
    actor.state.world = { ...actor.state.world, stage: "paper" };
    await expect(apply("real", "r1", EffectiveMode.LIVE)).rejects.toMatchObject({
      reason: "LIVE_NOT_ALLOWED",
      metadata: { missing: "the gateway's live guard,the caller's allow_live" },
    });
  });

  test("allocations are set once per request id, and never above one in an account", async () => {
    await makeWorld("money", { a: 0.6, b: 0.7 });
    const allocations = [
      {
        worldId: "money",
        ratio: 0.9,
        strategies: [
          { strategyId: "a", share: 0.5 },
          { strategyId: "b", share: 0.5 },
        ],
      },
    ];
    const order = { requestId: "m1", allocations, reason: "test" };
    const first = await w.call(RebalancingService.method.upsertAllocations, order);
    const second = await w.call(RebalancingService.method.upsertAllocations, order);

    expect(second.etag).toBe(first.etag);
    expect(second.allocations[0]).toMatchObject({ ratio: 0.9 });
    await expect(
      w.call(RebalancingService.method.upsertAllocations, {
        ...order,
        allocations: [{ worldId: "money", ratio: 0.1 }],
      }),
    ).rejects.toMatchObject({ reason: "REQUEST_ID_REUSED" });
    const more = { worldId: "money2", clock: WorldClock.WALL, accountId: "acc-money" };
    const made = await w.call(WorldService.method.createWorld, {
      world: { ...more, allocation: 0.9 },
    });
    expect(made.world?.allocation).toBe(0);
    await expect(
      w.call(RebalancingService.method.upsertAllocations, {
        requestId: "m2",
        allocations: [{ worldId: "money2", ratio: 0.2 }],
      }),
    ).rejects.toMatchObject({ reason: "ALLOCATION_INVALID" });
  });

  test("a plan crosses A and B inside as in the demo; only a gateway's is executable", async () => {
    await makeWorld("cross", { a: 0.6, b: 0.7 });
    const lots = (value: string) => ({ value });
    const position = (strategyId: string, quantity: string, target: number) => ({
      worldId: "cross",
      strategyId,
      instrument: "SPX",
      venue: "paper",
      quantity: lots(quantity),
      target,
    });
    const request = {
      mode: RebalanceMode.TARGETS,
      allocations: [
        {
          worldId: "cross",
          ratio: 0.9,
          strategies: [
            { strategyId: "a", share: 0.5 },
            { strategyId: "b", share: 0.5 },
          ],
        },
      ],
      books: {
        accountId: "acc-cross",
        accountRevision: 7n,
        equity: lots("1000000"),
        positions: [position("a", "150.3", 1), position("b", "-112.7", -1)],
        marks: [
          {
            venue: "paper",
            instrument: "SPX",
            price: lots("2127.83"),
            time: timestampFromMs(1_000),
          },
        ],
        instruments: [{ instrument: "SPX", lot: lots("0.1") }],
        worldTime: timestampFromMs(1_000),
      },
    };
    const { plan } = await w.call(RebalancingService.method.planRebalance, request, "gateway");
    const whatIf = await w.call(RebalancingService.method.planRebalance, request);

    expect(plan?.executable).toBe(true);
    expect(whatIf.plan?.executable).toBe(false);
    expect(
      plan?.crosses.map((c) => [c.quantity?.value, c.buyerStrategyId, c.sellerStrategyId]),
    ).toEqual([["61.1", "a", "b"]]);
    expect(plan?.netDeltas.map((d) => d.quantity?.value)).toEqual(["-37.6"]);
    expect(plan?.alphaMetrics).toBeUndefined();
    const second = await w.call(
      RebalancingService.method.planRebalance,
      { ...request, rebalanceIntent: { meta: { t: "x" } } },
      "gateway",
      2,
    );
    expect(second.plan?.rebalanceIntent?.meta).toEqual({ t: "x" });
    expect(second.plan?.alphaMetrics?.perStrategy["cross/a"]?.samples).toBe(3772);
    const planWith = (more: object) =>
      w.call(RebalancingService.method.planRebalance, { ...request, ...more }, "gateway");
    const least = await planWith({ minTradeNotional: lots("1000000000") });
    expect(least.plan?.deltas).toEqual([]);
    for (const [field, more] of [
      ["allocations_before", { allocationsBefore: request.allocations }],
      ["min_trade_notional", { minTradeNotional: lots("-1") }],
    ] as const) {
      await expect(planWith(more)).rejects.toMatchObject({ fields: [{ field }] });
    }
  });

  test("heartbeats are answered from memory", async () => {
    await makeWorld("fast", { a: 0.6 });
    await toPaper("fast");
    const session = new FakeSession(actorOf("fast"), "s-fast", ["a"]);
    await session.beat();
    const calls = [vi.spyOn(w.db, "query"), vi.spyOn(w.db, "transaction")];
    for (let i = 0; i < 500; i++) await session.beat();

    for (const call of calls) {
      expect(call).not.toHaveBeenCalled();
      call.mockRestore();
    }
  });

  test("a lease carries the longest pause between check and write that the world allows in its stage", async () => {
    const worldId = "pause";
    await makeWorld(worldId, { a: 0.6 });
    await toPaper(worldId);
    const session = new FakeSession(actorOf(worldId), "s-pause", ["a"]);
    const emitMax = async () => {
      const claim = { ...{ sessionId: "s-pause", worldId }, kind: SessionKind.TRADER };
      const heartbeat = heartbeatToProto(session.heartbeat(), { release: false });
      const { replies } = await w.call(SubscriptionService.method.relayHeartbeats, {
        heartbeats: [{ claim: { ...claim, strategyIds: ["a"] }, heartbeat }],
      });
      return replies[0]?.emitMax && durationMs(replies[0].emitMax);
    };
    expect(await emitMax()).toBe(300);

    await w.call(WorldService.method.updateWorld, {
      world: {
        worldId,
        paperTimers: { emitMax: durationFromMs(50) },
        liveTimers: { emitMax: durationFromMs(80) },
      },
    });

    expect(await emitMax()).toBe(50);
    const actor = actorOf(worldId)();
    actor.state.world = { ...actor.state.world, stage: "live" };
    expect(await emitMax()).toBe(80);
  });

  test("sessions that heartbeat at the same time become emitters at once, each of its own strategy", async () => {
    await makeWorld("together", { a: 0.6, b: 0.7, c: 0.8 });
    await toPaper("together");
    const sessions = ["a", "b", "c"].map(
      (strategyId) =>
        new FakeSession(actorOf("together"), `s-together-${strategyId}`, [strategyId]),
    );
    const replies = await Promise.all(sessions.map((session) => session.beat()));
    expect(replies.map(({ granted }) => granted)).toEqual([true, true, true]);
  });

  describe("after a crash", () => {
    test.each(["FREEZING", "SWITCHED"] as const)(
      "in %s the run goes on after one lease",
      async (phase) => {
        const id = `crash-${phase.toLowerCase()}`;
        await makeWorld(id);
        await toPaper(id);
        const session = new FakeSession(actorOf(id), `s-${id}`, ["a"]);
        await session.beat();
        const running = begin(id, "r3", EffectiveMode.PAPER);
        await advance(clock, actorOf(id), 50);
        if (phase === "SWITCHED") {
          await session.beat();
          await advance(clock, actorOf(id), 50);
        }
        expect(actorOf(id)().row.phase).toBe(phase);

        const cut = expect(running).rejects.toMatchObject({ reason: "NOT_LEADER" });
        await w.instance.stop();
        await cut;
        w = await openWorldService(store.dbOf, clock);
        await advance(clock, actorOf(id), 5_000);
        expect(actorOf(id)().row.phase).toBe(phase);
        expect(await session.beat()).toMatchObject({ granted: false, refusal: "FROZEN" });
        for (let i = 0; i < 6; i++) {
          await advance(clock, actorOf(id), 1_500);
          await session.beat();
        }
        await advance(clock, actorOf(id), 500);

        const { run } = await w.call(ActivationService.method.getApplyRun, {
          worldId: id,
          runId: "r3",
        });
        expect(run).toMatchObject({ resumeCount: 1, phase: ApplyPhase.COMPLETED });
        expect((await gateOf(id)).gate).toBe(Gate.OPEN);
      },
    );

    test("everything else is as it was", async () => {
      const { evaluation } = await w.call(DecisionService.method.getEvaluation, {
        worldId: "demo",
      });
      const { bindings } = await w.call(WorldService.method.listBindings, { worldId: "demo" });

      expect(evaluation?.strategies).toHaveLength(3);
      expect(bindings.map((b) => [b.strategyId, b.stage])).toEqual([
        ["a", EffectiveMode.PAPER],
        ["b", EffectiveMode.PAPER],
        ["c", EffectiveMode.COMPUTE_ONLY],
      ]);
    });
  });
}

describe("on PGlite", () => {
  suite(async () => {
    const host = await openTestPglite();
    return { dbOf: (schema) => host.db(schema), close: () => host.close() };
  });
});

describePostgres("on a server", (server) => {
  suite(async () => {
    const dsn = await server().createDatabase();
    const world = await openPostgres({ dsn, schema: "world" });
    const bus = await openPostgres({ dsn, schema: "bus" });
    const close = async () => {
      await world.close();
      await bus.close();
    };
    return { dbOf: (schema) => (schema === "world" ? world : bus), close };
  });

  test("one process leads at a time; a clean stop hands over at once, a silent one after its time", async () => {
    const db = await openPostgres({ dsn: await server().createDatabase(), schema: "world" });
    await migrate(db, fileURLToPath(new URL("../migrations", import.meta.url)));
    const make = (holder: string) =>
      worldLeadership({ db, clock: systemClock, logger: silentLogger, holder, leaderMs: 4_000 });
    const [first, second] = [make("one"), make("two")];
    await first.start(() => {});
    await second.start(() => {});
    expect(first.beganAtMs).toBeDefined();
    expect(second.beganAtMs).toBeUndefined();
    const lead = (leader: Leadership) => db.transaction((tx) => leader.assertLeads(tx));
    await lead(first);
    await expect(lead(second)).rejects.toMatchObject({ reason: "NOT_LEADER" });

    await first.stop();
    await waitUntil(() => second.beganAtMs !== undefined);
    await lead(second);
    await expect(lead(first)).rejects.toMatchObject({ reason: "NOT_LEADER" });
    await db.query("UPDATE world.leadership SET holder = 'ghost', epoch = epoch + 1");
    await waitUntil(() => second.beganAtMs === undefined);
    expect(second.grantUntilMs).toBe(Number.NEGATIVE_INFINITY);
    await waitUntil(() => second.beganAtMs !== undefined);

    await second.stop();
    await db.close();
  });
});
