import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode, ExecutionDomain, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { RebalanceMode } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  DemotePolicy,
  NodeStatus,
  WorldClock,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  document,
  drained,
  goodSeries,
  reason,
  reasonOf,
  refusalOf,
  WireWorlds,
} from "../testing/wire-worlds.ts";

let all: WireWorlds;
beforeAll(async () => {
  all = await WireWorlds.open();
});
afterAll(() => all[Symbol.asyncDispose]());

test("a replay world is made with a source, and one of the wall clock may have one to seal its returns", async () => {
  const make = (worldId: string, clock: WorldClock, source: string) =>
    all.worlds().createWorld({ world: { worldId, clock, source }, requestId: worldId });
  const without = make("replay-without", WorldClock.REPLAY, "");

  expect(await refusalOf(without)).toEqual({ reason: "INVALID_FIELD", fields: ["world.source"] });
  expect((await make("wall-with", WorldClock.WALL, "day")).world?.source).toBe("day");
});

describe("UpdateWorld", () => {
  test("of a client that knows nothing of a setting leaves it", async () => {
    const worldId = await all.make();
    const full = { onDemote: DemotePolicy.KEEP, cancelProtective: true, displayName: "Old" };
    const paperTimers = { lease: durationFromMs(9_000) };
    await all.worlds().updateWorld({ world: { worldId, ...full, paperTimers } });

    const { world } = await all.worlds().updateWorld({ world: { worldId, displayName: "New" } });

    expect(world).toMatchObject({ ...full, displayName: "New", accountId: `acc-${worldId}` });
    expect(world?.paperTimers?.lease).toEqual(durationFromMs(9_000));
  });

  test("takes a mask, and refuses * and timers that break a rule", async () => {
    const worldId = await all.make();
    const world = { worldId, displayName: "New", maxLag: durationFromMs(60_000) };
    const changed = await all.worlds().updateWorld({ world, updateMask: { paths: ["max_lag"] } });

    expect(changed.world).toMatchObject({ displayName: "", maxLag: durationFromMs(60_000) });
    expect(
      await refusalOf(all.worlds().updateWorld({ world, updateMask: { paths: ["*"] } })),
    ).toEqual({
      reason: "INVALID_FIELD",
      fields: ["update_mask"],
    });
    const tooShort = { worldId, paperTimers: { lease: durationFromMs(10) } };
    expect(await refusalOf(all.worlds().updateWorld({ world: tooShort }))).toEqual({
      reason: "TIMERS_INVALID",
      fields: ["world.paper_timers.lease", "world.paper_timers.renew_interval"],
    });
  });

  test("and CreateWorld let a world go live for an owner only; an operator may take it back", async () => {
    const worldId = await all.make();
    const live = { worldId, allowLive: true };
    const calls = [
      all.worlds("operator").updateWorld({ world: live }),
      all.worlds("operator").updateWorld({ world: live, updateMask: { paths: ["allow_live"] } }),
      all.worlds("operator").createWorld({
        world: { worldId: "other", clock: WorldClock.WALL, allowLive: true },
        requestId: "other",
      }),
    ];
    for (const call of calls) expect(await reasonOf(call)).toBe("ROLE_REQUIRED");
    expect((await all.worlds().getWorld({ worldId })).world?.allowLive).toBe(false);

    expect((await all.worlds().updateWorld({ world: live })).world?.allowLive).toBe(true);
    const more = { worldId, displayName: "Live" };
    expect((await all.worlds("operator").updateWorld({ world: more })).world?.allowLive).toBe(true);
    const back = await all.worlds("operator").updateWorld({
      world: { worldId },
      updateMask: { paths: ["allow_live"] },
    });
    expect(back.world?.allowLive).toBe(false);
  });
});

describe("an etag", () => {
  test("that is old is refused and one that is empty is not asked about", async () => {
    const worldId = await all.makeActive();
    const { policy } = await all.policies.createPolicy({
      worldId,
      document: `${document}\n`,
      requestId: "p2",
    });
    const allocations = [{ worldId, ratio: 0.5 }];
    let requests = 0;
    const { decision } = await all.decisions.decide({ worldId });
    const read = {
      world: (await all.worlds().getWorld({ worldId })).world!.etag,
      policy: policy!.defaultEtag,
      decision: decision!.etag,
      activation: (await all.activations.getActivation({ worldId })).activations[0]!.etag,
      allocations: (await all.rebalancing.listAllocations({ worldId })).etag,
    };
    const off = { worldId, strategyId: "a", reason };
    const halve = { ...off, sides: [Side.LONG, Side.SHORT], weight: 0.5 };
    const calls = (etag: Partial<typeof read>) => [
      () => all.worlds().updateWorld({ world: { worldId, displayName: "x", etag: etag.world! } }),
      () => all.policies.setDefaultPolicy({ worldId, version: 2, etag: etag.policy! }),
      () => all.decisions.setDecisions({ worldId, strategyIds: [], reason, etag: etag.decision! }),
      () => all.activations.updateActivation({ ...halve, etag: etag.activation! }),
      () =>
        all.rebalancing.upsertAllocations({
          allocations,
          reason,
          etag: etag.allocations!,
          requestId: `${worldId}-${requests++}`,
        }),
    ];
    const wrong = {
      world: "old",
      policy: "old",
      decision: "old",
      activation: "old",
      allocations: "old",
    };
    for (const call of calls(wrong)) expect(await reasonOf(call())).toBe("ETAG_MISMATCH");
    expect(await reasonOf(all.activations.deactivate({ ...off, etag: "old" }))).toBe(
      "ETAG_MISMATCH",
    );
    expect(await reasonOf(all.worlds().deleteWorld({ worldId, etag: "old" }))).toBe(
      "ETAG_MISMATCH",
    );

    for (const call of calls(read).reverse()) await call();
    for (const call of calls(read)) expect(await reasonOf(call())).toBe("ETAG_MISMATCH");
    for (const call of calls({ world: "", policy: "", decision: "", activation: "" }).slice(0, 4)) {
      await call();
    }
  });

  test("of one side of an activation changes with the other", async () => {
    const worldId = await all.makeActive();
    const { activations: before } = await all.activations.getActivation({ worldId });
    expect(new Set(before.map(({ etag }) => etag)).size).toBe(1);

    const long = { worldId, strategyId: "a", sides: [Side.LONG], reason };
    await all.activations.updateActivation({ ...long, weight: 0.5 });
    const stale = all.activations.updateActivation({
      ...long,
      sides: [Side.SHORT],
      weight: 0.1,
      etag: before[0]!.etag,
    });

    expect(await reasonOf(stale)).toBe("ETAG_MISMATCH");
  });
});

describe("an activation", () => {
  test("changes in the fields that are named, and says until when the old ones may rest on a lease", async () => {
    const worldId = await all.makeActive();
    const update = { worldId, strategyId: "a", sides: [Side.LONG, Side.SHORT], reason };
    const isRequired: boolean[] = [];
    const change = async (fields: { drain?: boolean; weight?: number }) => {
      const changed = await all.activations.updateActivation({ ...update, ...fields });
      const { gate } = await all.activations.getActivation({ worldId });
      isRequired.push(gate?.requiredRevision === gate?.revision);
      return changed;
    };
    const drained = await change({ drain: true });
    const lighter = await change({ weight: 0.25 });
    const heavier = await change({ weight: 1, drain: false });

    const states = [drained, lighter, heavier].map(({ activations: all }) =>
      all.map(({ activation: a }) => [a?.active, a?.drain, a?.freeze, a?.weight]),
    );
    expect(states).toEqual([
      [
        [true, true, false, 1],
        [true, true, false, 1],
      ],
      [
        [true, true, false, 0.25],
        [true, true, false, 0.25],
      ],
      [
        [true, false, false, 1],
        [true, false, false, 1],
      ],
    ]);
    const isTold = [drained, lighter, heavier].map((each) => each.effectiveTime !== undefined);
    expect(isTold).toEqual([true, true, false]);
    expect(isRequired).toEqual(isTold);
  });

  test("that is off loses nothing by a lower weight, a drain or a freeze, and nobody has to apply it", async () => {
    const worldId = await all.makeActive();
    const short = { worldId, strategyId: "a", sides: [Side.SHORT], reason };
    await all.activations.deactivate({ worldId, strategyId: "a", side: Side.SHORT, reason });
    const required = async () =>
      (await all.activations.getActivation({ worldId })).gate?.requiredRevision;
    const before = await required();

    const answers = [
      await all.activations.updateActivation({ ...short, weight: 0.25 }),
      await all.activations.updateActivation({ ...short, drain: true }),
      await all.activations.updateActivation({ ...short, freeze: true }),
    ];

    expect(answers.map(({ effectiveTime }) => effectiveTime)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(await required()).toBe(before);
    const both = { ...short, sides: [Side.LONG, Side.SHORT] };
    const lighter = await all.activations.updateActivation({ ...both, weight: 0.1 });
    expect(lighter.effectiveTime).toBeDefined();
  });

  test("that is switched off again says no earlier time than before: a lease may still rest on it", async () => {
    const worldId = await all.makeActive();
    const off = { worldId, strategyId: "a", reason };
    const first = await all.activations.deactivate(off);
    const again = await all.activations.deactivate(off);

    const times = [first, again].map((answer) => timestampMs(answer.effectiveTime!));
    expect(times[1]).toBeGreaterThanOrEqual(times[0]!);
  });

  test("of one side is switched off alone; without a side both are", async () => {
    const worldId = await all.makeActive();
    const off = { worldId, strategyId: "a", reason };
    const one = await all.activations.deactivate({ ...off, side: Side.SHORT });
    const both = await all.activations.deactivate(off);

    const isOn = (answer: typeof one) =>
      answer.activations.map(({ activation: a }) => [a?.side, a?.active]);
    expect(isOn(one)).toEqual([
      [Side.LONG, true],
      [Side.SHORT, false],
    ]);
    expect(isOn(both)).toEqual([
      [Side.LONG, false],
      [Side.SHORT, false],
    ]);
    expect(both.effectiveTime).toBeDefined();
  });

  test("of a strategy that is not there is NOT_FOUND, also as a filter", async () => {
    const worldId = await all.make("a");
    const none = { worldId, strategyId: "nobody" };
    expect(await reasonOf(all.activations.getActivation(none))).toBe("STRATEGY_NOT_FOUND");
    expect((await all.activations.getActivation({ worldId, strategyId: "a" })).activations).toEqual(
      [],
    );
    expect(await reasonOf(all.activations.deactivate({ ...none, reason }))).toBe(
      "ACTIVATION_NOT_FOUND",
    );
  });
});

describe("a binding", () => {
  test("is made once by reference, and taken out when the strategy is off", async () => {
    const worldId = await all.makeActive();
    const binding = { worldId, strategyId: "a", reason };
    await all.rebalancing.upsertAllocations({
      requestId: worldId,
      allocations: [{ worldId, ratio: 0.5, strategies: [{ strategyId: "a", share: 1 }] }],
      reason,
    });
    const again = await all.worlds().createBindings({ worldId, strategies: [{ strategyId: "a" }] });
    expect(again.bindings).toMatchObject([
      { strategyName: "a", stage: EffectiveMode.COMPUTE_ONLY, share: 1 },
    ]);
    expect(await reasonOf(all.worlds().deleteBinding(binding))).toBe("CONFLICT");

    await all.activations.deactivate(binding);
    await all.worlds().deleteBinding(binding);

    expect((await all.worlds().listBindings({ worldId })).bindings).toEqual([]);
    expect(await reasonOf(all.worlds().deleteBinding(binding))).toBe("BINDING_NOT_FOUND");
    expect(await reasonOf(all.worlds().deleteBinding({ ...binding, strategyId: "z" }))).toBe(
      "BINDING_NOT_FOUND",
    );
    expect(
      (await all.auditTypes(worldId)).filter((type) => type === "binding_removed"),
    ).toHaveLength(1);
    const { decision } = await all.decisions.decide({ worldId });
    expect(decision).toMatchObject({ effectiveMode: EffectiveMode.VALIDATE, strategies: [] });
  });

  test("made anew after it was taken out begins at validate, without the share it had", async () => {
    const worldId = await all.makeActive();
    const binding = { worldId, strategyId: "a", reason };
    await all.rebalancing.upsertAllocations({
      requestId: worldId,
      allocations: [{ worldId, ratio: 0.5, strategies: [{ strategyId: "a", share: 1 }] }],
      reason,
    });
    await all.activations.deactivate(binding);
    await all.worlds().deleteBinding(binding);

    const { bindings } = await all.worlds().createBindings({
      worldId,
      strategies: [{ strategyId: "a" }, { strategyId: "b" }, { strategyId: "b" }],
    });

    const fresh = {
      stage: EffectiveMode.VALIDATE,
      effectiveMode: EffectiveMode.VALIDATE,
      share: 0.5, // none was set since: both have the world in equal parts
    };
    expect(bindings).toMatchObject([
      { strategyId: "a", strategyName: "a", ...fresh },
      { strategyId: "b", ...fresh },
    ]);
  });
});

describe("shares that nobody has set", () => {
  const set = (worldId: string, shares: Readonly<Record<string, number>>, requestId: string) =>
    all.rebalancing.upsertAllocations({
      requestId: `${worldId}-${requestId}`,
      allocations: [
        {
          worldId,
          ratio: 0.9,
          strategies: Object.entries(shares).map(([strategyId, share]) => ({ strategyId, share })),
        },
      ],
      reason,
    });

  /** The shares of a world, as each answer reports them. */
  async function shown(worldId: string): Promise<Record<string, number>[]> {
    const { allocations } = await all.rebalancing.listAllocations({ worldId });
    const { bindings } = await all.worlds().listBindings({ worldId });
    return [allocations[0]?.strategies ?? [], bindings].map((rows) =>
      Object.fromEntries(rows.map(({ strategyId, share }) => [strategyId, share])),
    );
  }

  test("are shown as the equal parts that are traded, not as 0", async () => {
    const worldId = await all.make("a", "b", "c");

    const third = 1 / 3;
    const parts = { a: third, b: third, c: third };
    expect(await shown(worldId)).toEqual([parts, parts]);

    await set(worldId, {}, "ratio");
    expect(await shown(worldId)).toEqual([parts, parts]);
  });

  test("are not planned on an account that the world does not trade on", async () => {
    const worldId = await all.make("a");
    const plan = (accountId: string) =>
      all.rebalancing.planRebalance({
        mode: RebalanceMode.TARGETS,
        allocations: [{ worldId, ratio: 0.4 }],
        books: { accountId, equity: { value: "1000" } },
      });

    expect(await refusalOf(plan("another"))).toEqual({
      reason: "ALLOCATION_INVALID",
      fields: ["allocations[0].world_id"],
    });
    await expect(plan(`acc-${worldId}`)).resolves.toMatchObject({ plan: {} });
  });

  test("are kept by those that are not named when one is set, or the call is refused", async () => {
    const worldId = await all.make("a", "b", "c");

    const refused = set(worldId, { a: 0.5 }, "too much");
    await expect(refused).rejects.toThrow("keep their share (b 0.3333, c 0.3333)");
    expect(await refusalOf(refused)).toEqual({
      reason: "ALLOCATION_INVALID",
      fields: ["allocations[0].strategies"],
    });
    await set(worldId, { a: 0.2 }, "fits");

    const third = 1 / 3;
    const parts = { a: 0.2, b: third, c: third };
    expect(await shown(worldId)).toEqual([parts, parts]);
  });

  test("are 0 where all of them were set to 0, and for one bound after the split", async () => {
    const worldId = await all.make("a", "b");
    await set(worldId, { a: 0, b: 0 }, "none");
    await all.worlds().createBindings({ worldId, strategies: [{ strategyId: "c" }] });

    const parts = { a: 0, b: 0, c: 0 };
    expect(await shown(worldId)).toEqual([parts, parts]);
  });
});

describe("a value nobody knows, or none,", () => {
  test("is refused by its field, and nothing is stored", async () => {
    const worldId = await all.makeActive();
    // As a client of a later version, or one that makes numbers up, sends it.
    const odd = <E extends number>() => 99 as E;
    const before = await all.auditTypes(worldId);
    const runs = async () => (await all.activations.listApplyRuns({ worldId })).runs.length;
    const id = { worldId, strategyId: "a", reason };
    const nodeId = `blake3:${"0".repeat(64)}`;
    const status = NodeStatus.VALID;
    const node = { worldId, nodeId, executionDomain: ExecutionDomain.BACKTEST, status };
    const allocations = [{ worldId, ratio: 0.5 }];
    const apply = (targetMode: EffectiveMode) =>
      drained(all.activations.apply({ worldId, runId: "odd", targetMode, reason }));
    const report = (domain: ExecutionDomain) =>
      all.decisions.reportReturns({
        worldId,
        returns: [{ strategyId: "a", series: { ...goodSeries, domain } }],
      });
    const calls: [string, () => Promise<unknown>][] = [
      ...[EffectiveMode.UNSPECIFIED, odd<EffectiveMode>()].map(
        (mode): [string, () => Promise<unknown>] => ["target_mode", () => apply(mode)],
      ),
      ...[HoldKind.UNSPECIFIED, odd<HoldKind>(), HoldKind.ROLLBACK].map(
        (hold): [string, () => Promise<unknown>] => [
          "hold",
          () => all.activations.freeze({ worldId, hold, reason }),
        ],
      ),
      ["hold", () => all.activations.resume({ worldId, hold: odd(), reason })],
      ["side", () => all.activations.deactivate({ ...id, side: odd() })],
      [
        "sides[0]",
        () => all.activations.updateActivation({ ...id, sides: [Side.UNSPECIFIED], weight: 1 }),
      ],
      [
        "sides[1]",
        () =>
          all.activations.updateActivation({ ...id, sides: [Side.LONG, odd<Side>()], weight: 1 }),
      ],
      ["sides", () => all.activations.updateActivation({ ...id, sides: [], weight: 1 })],
      [
        "node.status",
        () => all.worlds().upsertWorldNode({ node: { ...node, status: NodeStatus.UNSPECIFIED } }),
      ],
      ["node.status", () => all.worlds().upsertWorldNode({ node: { ...node, status: odd() } })],
      [
        "node.execution_domain",
        () =>
          all.worlds().upsertWorldNode({
            node: { ...node, executionDomain: ExecutionDomain.UNSPECIFIED },
          }),
      ],
      [
        "node.node_id",
        () => all.worlds().upsertWorldNode({ node: { ...node, nodeId: "blake3:0" } }),
      ],
      ["world.on_demote", () => all.worlds().updateWorld({ world: { worldId, onDemote: odd() } })],
      [
        "world.on_lease_lost",
        () => all.worlds().updateWorld({ world: { worldId, onLeaseLost: odd() } }),
      ],
      [
        "world.clock",
        () => all.worlds().createWorld({ world: { worldId: "odd" }, requestId: "odd" }),
      ],
      ["mode", () => all.rebalancing.planRebalance({ allocations })],
      ["mode", () => all.rebalancing.planRebalance({ mode: 3 as RebalanceMode, allocations })],
      [
        "plan.deactivate[1]",
        () =>
          drained(
            all.activations.apply({
              ...{ worldId, runId: "odd", targetMode: EffectiveMode.COMPUTE_ONLY, reason },
              plan: { activate: ["a"], deactivate: ["b", "a"] },
            }),
          ),
      ],
      ["returns[0].series.domain", () => report(ExecutionDomain.UNSPECIFIED)],
      ["returns[0].series.domain", () => report(odd())],
    ];
    for (const [field, call] of calls) {
      const { reason: why, fields } = await refusalOf(call());
      expect([why, ...new Set(fields)]).toEqual(["INVALID_FIELD", field]);
    }
    const executionDomain = ExecutionDomain.SHADOW;
    const shadows: [string, () => Promise<unknown>][] = [
      ["target_mode", () => apply(EffectiveMode.SHADOW)],
      ["returns[0].series.domain", () => report(executionDomain)],
      [
        "node.execution_domain",
        () => all.worlds().upsertWorldNode({ node: { ...node, executionDomain } }),
      ],
    ];
    for (const [field, call] of shadows) {
      const { reason: why, fields } = await refusalOf(call());
      expect([why, ...fields]).toEqual(["FEATURE_NOT_BUILT", field]);
    }
    expect(await all.auditTypes(worldId)).toEqual(before);
    expect(await runs()).toBe(1);
    expect(await reasonOf(all.worlds().getWorld({ worldId: "odd" }))).toBe("WORLD_NOT_FOUND");
  });

  test("as consent to live beside another target is refused", async () => {
    const worldId = await all.makeActive();
    const call = all.activations.apply({
      worldId,
      runId: "r2",
      targetMode: EffectiveMode.PAPER,
      allowLive: true,
      reason,
    });
    expect(await refusalOf(drained(call))).toEqual({
      reason: "INVALID_FIELD",
      fields: ["allow_live"],
    });
  });
});

describe("a request id", () => {
  test("is needed where a repeat is not harmless by itself", async () => {
    const worldId = await all.make();
    const allocations = [{ worldId, ratio: 0.1 }];
    for (const call of [
      all.worlds().createWorld({ world: { worldId: "x", clock: WorldClock.WALL } }),
      all.policies.createPolicy({ worldId, document }),
      all.decisions.evaluate({ worldId }),
      all.rebalancing.upsertAllocations({ allocations, reason }),
    ]) {
      expect(await refusalOf(call)).toEqual({ reason: "INVALID_FIELD", fields: ["request_id"] });
    }
  });

  test("finds what was made with it; with other content it is refused", async () => {
    const worldId = await all.make("a");
    const first = await all.policies.createPolicy({ worldId, document, requestId: "p" });
    const again = await all.policies.createPolicy({ worldId, document, requestId: "p" });
    expect(again.policy).toEqual(first.policy);
    expect((await all.policies.listPolicies({ worldId })).policies).toHaveLength(1);
    const other = `${document}\nmin_samples: 3\n`;
    const reused = all.policies.createPolicy({ worldId, document: other, requestId: "p" });
    expect(await reasonOf(reused)).toBe("REQUEST_ID_REUSED");
    const checked = await all.policies.createPolicy({
      worldId,
      document: other,
      validateOnly: true,
      requestId: "p",
    });
    expect(checked.policy?.version).toBe(0);

    const judged = await all.decisions.evaluate({ worldId, requestId: "e" });
    const judgedAgain = await all.decisions.evaluate({ worldId, requestId: "e" });
    const tried = await all.decisions.evaluate({ worldId, requestId: "t", validateOnly: true });
    expect(judgedAgain.evaluation).toEqual(judged.evaluation);
    expect(tried.evaluation?.evaluationId).toBe("");
  });

  test("belongs to one world of a name: made again it is free", async () => {
    const worldId = await all.make("a");
    await all.policies.createPolicy({ worldId, document, requestId: "p" });
    await all.decisions.evaluate({ worldId, requestId: "e" });
    await all.worlds().deleteWorld({ worldId });
    await all.worlds().createWorld({
      world: { worldId, clock: WorldClock.WALL },
      requestId: `${worldId}-again`,
    });

    const { policy } = await all.policies.createPolicy({ worldId, document, requestId: "p" });
    expect(policy).toMatchObject({ version: 1, isDefault: true });
    const { evaluation } = await all.decisions.evaluate({ worldId, requestId: "e" });
    expect(evaluation?.strategies).toEqual([]);
  });
});
