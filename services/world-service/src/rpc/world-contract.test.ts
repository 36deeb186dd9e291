import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { HoldKind } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { EffectiveMode, ExecutionDomain, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { RuleUse, RuleVerdict } from "@qmtl/contracts/qmtl/world/v1/decision_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import {
  type RebalanceMode,
  RebalancingService,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import {
  DemotePolicy,
  NodeStatus,
  WorldClock,
  WorldService,
} from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWire } from "../testing/open-wire.ts";

const reason = "the test";
const document = "hysteresis: {metric: sharpe, enter: 0.4, exit: -4}";

let wire: Awaited<ReturnType<typeof openWire>>;
beforeAll(async () => {
  wire = await openWire();
});
afterAll(() => wire[Symbol.asyncDispose]());

const worlds = (role: "owner" | "operator" = "owner") => wire.as(role).client(WorldService);
const policies = () => wire.as("owner").client(PolicyService);
const decisions = () => wire.as("owner").client(DecisionService);
const activations = () => wire.as("owner").client(ActivationService);
const rebalancing = () => wire.as("owner").client(RebalancingService);

let made = 0;

/** A wall world with the strategies named, and no policy. */
async function makeWorld(...strategyIds: string[]): Promise<string> {
  made += 1;
  const worldId = `w${made}`;
  const world = { worldId, clock: WorldClock.WALL, accountId: `acc-${worldId}` };
  await worlds().createWorld({ world, requestId: worldId });
  const strategies = strategyIds.map((strategyId) => ({ strategyId, strategyName: strategyId }));
  if (strategies.length > 0) await worlds().createBindings({ worldId, strategies });
  return worldId;
}

const series = {
  interval: durationFromMs(86_400_000),
  periodsPerYear: 252,
  domain: ExecutionDomain.BACKTEST,
  returns: Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? 0.02 : -0.01)),
};

/** A world with one strategy that is active in compute-only. */
async function makeActive(): Promise<string> {
  const worldId = await makeWorld("a");
  await policies().createPolicy({ worldId, document, requestId: "p" });
  await decisions().reportReturns({ worldId, returns: [{ strategyId: "a", series }] });
  const targetMode = EffectiveMode.COMPUTE_ONLY;
  for await (const _ of activations().apply({ worldId, runId: "r", targetMode, reason }));
  return worldId;
}

interface Refusal {
  readonly reason: string;
  readonly fields: readonly string[];
}

async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (failure) {
    if (!(failure instanceof QmtlError)) throw failure;
    return { reason: failure.reason, fields: failure.fields.map(({ field }) => field) };
  }
  throw new Error("the call was not refused");
}

const reasonOf = async (call: Promise<unknown>) => (await refusalOf(call)).reason;

async function auditTypes(worldId: string): Promise<string[]> {
  const { entries } = await worlds().listAuditEntries({ worldId, pageSize: 1_000 });
  return entries.map(({ type }) => type);
}

const drained = async (stream: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of stream);
};

describe("UpdateWorld", () => {
  test("of a client that knows nothing of a setting leaves it", async () => {
    const worldId = await makeWorld();
    const full = { onDemote: DemotePolicy.KEEP, cancelProtective: true, displayName: "Old" };
    const paperTimers = { lease: durationFromMs(9_000) };
    await worlds().updateWorld({ world: { worldId, ...full, paperTimers } });

    const { world } = await worlds().updateWorld({ world: { worldId, displayName: "New" } });

    expect(world).toMatchObject({ ...full, displayName: "New", accountId: `acc-${worldId}` });
    expect(world?.paperTimers?.lease).toEqual(durationFromMs(9_000));
  });

  test("takes a mask, and refuses * and timers that break a rule", async () => {
    const worldId = await makeWorld();
    const world = { worldId, displayName: "New", maxLag: durationFromMs(60_000) };
    const changed = await worlds().updateWorld({ world, updateMask: { paths: ["max_lag"] } });

    expect(changed.world).toMatchObject({ displayName: "", maxLag: durationFromMs(60_000) });
    expect(await refusalOf(worlds().updateWorld({ world, updateMask: { paths: ["*"] } }))).toEqual({
      reason: "INVALID_FIELD",
      fields: ["update_mask"],
    });
    const tooShort = { worldId, paperTimers: { lease: durationFromMs(10) } };
    expect(await reasonOf(worlds().updateWorld({ world: tooShort }))).toBe("TIMERS_INVALID");
  });

  test("and CreateWorld let a world go live for an owner only; an operator may take it back", async () => {
    const worldId = await makeWorld();
    const live = { worldId, allowLive: true };
    const calls = [
      worlds("operator").updateWorld({ world: live }),
      worlds("operator").updateWorld({ world: live, updateMask: { paths: ["allow_live"] } }),
      worlds("operator").createWorld({
        world: { worldId: "other", clock: WorldClock.WALL, allowLive: true },
        requestId: "other",
      }),
    ];
    for (const call of calls) expect(await reasonOf(call)).toBe("ROLE_REQUIRED");
    expect((await worlds().getWorld({ worldId })).world?.allowLive).toBe(false);

    expect((await worlds().updateWorld({ world: live })).world?.allowLive).toBe(true);
    const more = { worldId, displayName: "Live" };
    expect((await worlds("operator").updateWorld({ world: more })).world?.allowLive).toBe(true);
    const back = await worlds("operator").updateWorld({
      world: { worldId },
      updateMask: { paths: ["allow_live"] },
    });
    expect(back.world?.allowLive).toBe(false);
  });
});

describe("an etag", () => {
  test("that is old is refused and one that is empty is not asked about", async () => {
    const worldId = await makeActive();
    const { policy } = await policies().createPolicy({
      worldId,
      document: `${document}\n`,
      requestId: "p2",
    });
    const allocations = [{ worldId, ratio: 0.5 }];
    let requests = 0;
    const { decision } = await decisions().decide({ worldId });
    const read = {
      world: (await worlds().getWorld({ worldId })).world!.etag,
      policy: policy!.defaultEtag,
      decision: decision!.etag,
      activation: (await activations().getActivation({ worldId })).activations[0]!.etag,
      allocations: (await rebalancing().listAllocations({ worldId })).etag,
    };
    const off = { worldId, strategyId: "a", reason };
    const halve = { ...off, sides: [Side.LONG, Side.SHORT], weight: 0.5 };
    const calls = (etag: Partial<typeof read>) => [
      () => worlds().updateWorld({ world: { worldId, displayName: "x", etag: etag.world! } }),
      () => policies().setDefaultPolicy({ worldId, version: 2, etag: etag.policy! }),
      () => decisions().setDecisions({ worldId, strategyIds: [], reason, etag: etag.decision! }),
      () => activations().updateActivation({ ...halve, etag: etag.activation! }),
      () =>
        rebalancing().upsertAllocations({
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
    expect(await reasonOf(activations().deactivate({ ...off, etag: "old" }))).toBe("ETAG_MISMATCH");
    expect(await reasonOf(worlds().deleteWorld({ worldId, etag: "old" }))).toBe("ETAG_MISMATCH");

    for (const call of calls(read).reverse()) await call();
    for (const call of calls(read)) expect(await reasonOf(call())).toBe("ETAG_MISMATCH");
    for (const call of calls({ world: "", policy: "", decision: "", activation: "" }).slice(0, 4)) {
      await call();
    }
  });

  test("of one side of an activation changes with the other", async () => {
    const worldId = await makeActive();
    const { activations: before } = await activations().getActivation({ worldId });
    expect(new Set(before.map(({ etag }) => etag)).size).toBe(1);

    const long = { worldId, strategyId: "a", sides: [Side.LONG], reason };
    await activations().updateActivation({ ...long, weight: 0.5 });
    const stale = activations().updateActivation({
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
    const worldId = await makeActive();
    const update = { worldId, strategyId: "a", sides: [Side.LONG, Side.SHORT], reason };
    const drained = await activations().updateActivation({ ...update, drain: true });
    const lighter = await activations().updateActivation({ ...update, weight: 0.25 });
    const heavier = await activations().updateActivation({ ...update, weight: 1, drain: false });

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
  });

  test("of one side is switched off alone; without a side both are", async () => {
    const worldId = await makeActive();
    const off = { worldId, strategyId: "a", reason };
    const one = await activations().deactivate({ ...off, side: Side.SHORT });
    const both = await activations().deactivate(off);

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
    const worldId = await makeWorld("a");
    const none = { worldId, strategyId: "nobody" };
    expect(await reasonOf(activations().getActivation(none))).toBe("STRATEGY_NOT_FOUND");
    expect((await activations().getActivation({ worldId, strategyId: "a" })).activations).toEqual(
      [],
    );
    expect(await reasonOf(activations().deactivate({ ...none, reason }))).toBe(
      "ACTIVATION_NOT_FOUND",
    );
  });
});

describe("a binding", () => {
  test("is made once by reference, and taken out when the strategy is off", async () => {
    const worldId = await makeActive();
    const binding = { worldId, strategyId: "a", reason };
    await rebalancing().upsertAllocations({
      requestId: worldId,
      allocations: [{ worldId, ratio: 0.5, strategies: [{ strategyId: "a", share: 1 }] }],
      reason,
    });
    const again = await worlds().createBindings({ worldId, strategies: [{ strategyId: "a" }] });
    expect(again.bindings).toMatchObject([
      { strategyName: "a", stage: EffectiveMode.COMPUTE_ONLY, share: 1 },
    ]);
    expect(await reasonOf(worlds().deleteBinding(binding))).toBe("CONFLICT");

    await activations().deactivate(binding);
    await worlds().deleteBinding(binding);

    expect((await worlds().listBindings({ worldId })).bindings).toEqual([]);
    expect(await reasonOf(worlds().deleteBinding(binding))).toBe("BINDING_NOT_FOUND");
    expect(await reasonOf(worlds().deleteBinding({ ...binding, strategyId: "z" }))).toBe(
      "BINDING_NOT_FOUND",
    );
    expect((await auditTypes(worldId)).filter((type) => type === "binding_removed")).toHaveLength(
      1,
    );
    const { decision } = await decisions().decide({ worldId });
    expect(decision).toMatchObject({ effectiveMode: EffectiveMode.VALIDATE, strategies: [] });
  });

  test("made anew after it was taken out begins at validate, without capital", async () => {
    const worldId = await makeActive();
    const binding = { worldId, strategyId: "a", reason };
    await rebalancing().upsertAllocations({
      requestId: worldId,
      allocations: [{ worldId, ratio: 0.5, strategies: [{ strategyId: "a", share: 1 }] }],
      reason,
    });
    await activations().deactivate(binding);
    await worlds().deleteBinding(binding);

    const { bindings } = await worlds().createBindings({
      worldId,
      strategies: [{ strategyId: "a" }, { strategyId: "b" }, { strategyId: "b" }],
    });

    const fresh = {
      stage: EffectiveMode.VALIDATE,
      effectiveMode: EffectiveMode.VALIDATE,
      share: 0,
    };
    expect(bindings).toMatchObject([
      { strategyId: "a", strategyName: "a", ...fresh },
      { strategyId: "b", ...fresh },
    ]);
  });
});

describe("a list in pages", () => {
  /** Reads a list page by page. */
  async function pagesOf<T>(
    read: (pageToken: string) => Promise<{ rows: readonly T[]; nextPageToken: string }>,
  ): Promise<(readonly T[])[]> {
    const pages: (readonly T[])[] = [];
    for (let pageToken = ""; ; ) {
      const { rows, nextPageToken } = await read(pageToken);
      pages.push(rows);
      if (nextPageToken === "") return pages;
      pageToken = nextPageToken;
    }
  }

  const node = (letter: string) => `blake3:${letter.repeat(64)}`;

  /** A world with five of everything. */
  async function makeFull(): Promise<string> {
    const worldId = await makeWorld("s5", "s4", "s3", "s2", "s1");
    for (const n of [1, 2, 3, 4, 5]) {
      await policies().createPolicy({ worldId, document, requestId: `p${n}` });
      const status = NodeStatus.VALID;
      const executionDomain = n === 5 ? ExecutionDomain.LIVE : ExecutionDomain.BACKTEST;
      const nodeId = node("cabbb"[n - 1] ?? "");
      await worlds().upsertWorldNode({ node: { worldId, nodeId, executionDomain, status } });
      await worlds().upsertEdgeOverride({
        edge: { worldId, source: `e${n % 2}`, target: `t${n}` },
      });
    }
    return worldId;
  }

  const lists: [
    string,
    (
      worldId: string,
      pageSize: number,
      pageToken: string,
    ) => Promise<{
      rows: readonly string[];
      nextPageToken: string;
    }>,
  ][] = [
    [
      "bindings",
      async (worldId, pageSize, pageToken) => {
        const answer = await worlds().listBindings({ worldId, pageSize, pageToken });
        return { ...answer, rows: answer.bindings.map((each) => each.strategyId) };
      },
    ],
    [
      "node states",
      async (worldId, pageSize, pageToken) => {
        const answer = await worlds().listWorldNodes({ worldId, pageSize, pageToken });
        return {
          ...answer,
          rows: answer.nodes.map((each) => `${each.nodeId[7]} ${each.executionDomain}`),
        };
      },
    ],
    [
      "edges",
      async (worldId, pageSize, pageToken) => {
        const answer = await worlds().listEdgeOverrides({ worldId, pageSize, pageToken });
        return { ...answer, rows: answer.edges.map((each) => `${each.source} ${each.target}`) };
      },
    ],
    [
      "policies",
      async (worldId, pageSize, pageToken) => {
        const answer = await policies().listPolicies({ worldId, pageSize, pageToken });
        return {
          ...answer,
          rows: answer.policies.map((each) => `${each.version}${each.document}`),
        };
      },
    ],
    [
      "audit entries",
      async (worldId, pageSize, pageToken) => {
        const answer = await worlds().listAuditEntries({ worldId, pageSize, pageToken });
        return { ...answer, rows: answer.entries.map((each) => String(each.entry)) };
      },
    ],
  ];

  let full: string;
  let other: string;
  beforeAll(async () => {
    full = await makeFull();
    other = await makeFull();
  });

  const ORDER: Readonly<Record<string, readonly string[]>> = {
    bindings: ["s1", "s2", "s3", "s4", "s5"],
    "node states": ["a 1", "b 1", "b 3", "c 1"],
    edges: ["domain:backtest domain:live", "e0 t2", "e0 t4", "e1 t1", "e1 t3", "e1 t5"],
    policies: ["5", "4", "3", "2", "1"],
  };

  test.each(lists)("of %s holds each row once, in order, whatever the size", async (name, list) => {
    const whole = await list(full, 0, "");
    expect(whole.nextPageToken).toBe("");
    if (ORDER[name] !== undefined) expect(whole.rows).toEqual(ORDER[name]);
    for (const size of [1, 2, 3]) {
      const pages = await pagesOf((pageToken) => list(full, size, pageToken));
      expect(pages.flat()).toEqual(whole.rows);
      expect(pages.slice(0, -1).every((page) => page.length === size)).toBe(true);
    }
  });

  test.each(lists)("of %s takes no token of another world, list or text", async (_, list) => {
    const { nextPageToken } = await list(full, 1, "");
    const foreign = await worlds().listWorlds({ pageSize: 1 });
    const refused = { reason: "PAGE_TOKEN_INVALID", fields: ["page_token"] };
    for (const call of [
      list(other, 1, nextPageToken),
      list(full, 1, foreign.nextPageToken),
      list(full, 1, "1"),
      list(full, 1, `${nextPageToken}x`),
    ]) {
      expect(await refusalOf(call)).toEqual(refused);
    }
    expect(await reasonOf(list(full, -1, ""))).toBe("INVALID_FIELD");
    expect(await reasonOf(list("nowhere", 1, ""))).toBe("WORLD_NOT_FOUND");
  });

  test("of worlds, allocations, metrics and runs holds each row once", async () => {
    const byWorld = await pagesOf(async (pageToken) => {
      const answer = await worlds().listWorlds({ pageSize: 3, pageToken });
      return { ...answer, rows: answer.worlds.map((each) => each.worldId) };
    });
    const allocated = await pagesOf(async (pageToken) => {
      const answer = await rebalancing().listAllocations({ pageSize: 3, pageToken });
      return { ...answer, rows: answer.allocations.map((each) => each.worldId) };
    });
    const metrics = await pagesOf(async (pageToken) => {
      const answer = await decisions().listMetrics({ pageSize: 7, pageToken });
      return { ...answer, rows: answer.metrics.map((each) => each.name) };
    });
    const { metrics: all } = await decisions().listMetrics({ pageSize: 1_000 });

    expect(byWorld.flat()).toEqual([...new Set(byWorld.flat())].sort());
    expect(byWorld.flat()).toContain(full);
    expect(allocated.flat()).toEqual(byWorld.flat());
    expect(metrics.flat()).toEqual(all.map((each) => each.name));

    const worldId = await makeActive();
    const targetMode = EffectiveMode.COMPUTE_ONLY;
    for (const runId of ["r2", "r3"])
      await drained(activations().apply({ worldId, runId, targetMode, reason }));
    const runs = await pagesOf(async (pageToken) => {
      const answer = await activations().listApplyRuns({ worldId, pageSize: 2, pageToken });
      return { ...answer, rows: answer.runs.map((each) => each.runId) };
    });
    expect(runs).toEqual([["r3", "r2"], ["r"]]);
  });
});

describe("a value nobody knows, or none,", () => {
  test("is refused by its field, and nothing is stored", async () => {
    const worldId = await makeActive();
    // As a client of a later version, or one that makes numbers up, sends it.
    const odd = <E extends number>() => 99 as E;
    const before = await auditTypes(worldId);
    const runs = async () => (await activations().listApplyRuns({ worldId })).runs.length;
    const id = { worldId, strategyId: "a", reason };
    const nodeId = `blake3:${"0".repeat(64)}`;
    const status = NodeStatus.VALID;
    const node = { worldId, nodeId, executionDomain: ExecutionDomain.BACKTEST, status };
    const allocations = [{ worldId, ratio: 0.5 }];
    const apply = (targetMode: EffectiveMode) =>
      drained(activations().apply({ worldId, runId: "odd", targetMode, reason }));
    const report = (domain: ExecutionDomain) =>
      decisions().reportReturns({
        worldId,
        returns: [{ strategyId: "a", series: { ...series, domain } }],
      });
    const calls: [string, () => Promise<unknown>][] = [
      ...[EffectiveMode.UNSPECIFIED, odd<EffectiveMode>(), EffectiveMode.SHADOW].map(
        (mode): [string, () => Promise<unknown>] => ["target_mode", () => apply(mode)],
      ),
      ...[HoldKind.UNSPECIFIED, odd<HoldKind>(), HoldKind.ROLLBACK].map(
        (hold): [string, () => Promise<unknown>] => [
          "hold",
          () => activations().freeze({ worldId, hold, reason }),
        ],
      ),
      ["hold", () => activations().resume({ worldId, hold: odd(), reason })],
      ["side", () => activations().deactivate({ ...id, side: odd() })],
      [
        "sides[0]",
        () => activations().updateActivation({ ...id, sides: [Side.UNSPECIFIED], weight: 1 }),
      ],
      [
        "sides[1]",
        () => activations().updateActivation({ ...id, sides: [Side.LONG, odd<Side>()], weight: 1 }),
      ],
      ["sides", () => activations().updateActivation({ ...id, sides: [], weight: 1 })],
      [
        "node.status",
        () => worlds().upsertWorldNode({ node: { ...node, status: NodeStatus.UNSPECIFIED } }),
      ],
      ["node.status", () => worlds().upsertWorldNode({ node: { ...node, status: odd() } })],
      [
        "node.execution_domain",
        () =>
          worlds().upsertWorldNode({
            node: { ...node, executionDomain: ExecutionDomain.UNSPECIFIED },
          }),
      ],
      ["node.node_id", () => worlds().upsertWorldNode({ node: { ...node, nodeId: "blake3:0" } })],
      ["world.on_demote", () => worlds().updateWorld({ world: { worldId, onDemote: odd() } })],
      [
        "world.on_lease_lost",
        () => worlds().updateWorld({ world: { worldId, onLeaseLost: odd() } }),
      ],
      ["world.clock", () => worlds().createWorld({ world: { worldId: "odd" }, requestId: "odd" })],
      ["mode", () => rebalancing().planRebalance({ allocations })],
      ["mode", () => rebalancing().planRebalance({ mode: 3 as RebalanceMode, allocations })],
      ["returns[0].series.domain", () => report(ExecutionDomain.UNSPECIFIED)],
      ["returns[0].series.domain", () => report(ExecutionDomain.SHADOW)],
      ["returns[0].series.domain", () => report(odd())],
    ];
    for (const [field, call] of calls) {
      const { reason: why, fields } = await refusalOf(call());
      expect([why, ...new Set(fields)]).toEqual(["INVALID_FIELD", field]);
    }
    expect(await auditTypes(worldId)).toEqual(before);
    expect(await runs()).toBe(1);
    expect(await reasonOf(worlds().getWorld({ worldId: "odd" }))).toBe("WORLD_NOT_FOUND");
  });

  test("as consent to live beside another target is refused", async () => {
    const worldId = await makeActive();
    const call = activations().apply({
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
    const worldId = await makeWorld();
    const allocations = [{ worldId, ratio: 0.1 }];
    for (const call of [
      worlds().createWorld({ world: { worldId: "x", clock: WorldClock.WALL } }),
      policies().createPolicy({ worldId, document }),
      decisions().evaluate({ worldId }),
      rebalancing().upsertAllocations({ allocations, reason }),
    ]) {
      expect(await refusalOf(call)).toEqual({ reason: "INVALID_FIELD", fields: ["request_id"] });
    }
  });

  test("finds what was made with it; with other content it is refused", async () => {
    const worldId = await makeWorld("a");
    const first = await policies().createPolicy({ worldId, document, requestId: "p" });
    const again = await policies().createPolicy({ worldId, document, requestId: "p" });
    expect(again.policy).toEqual(first.policy);
    expect((await policies().listPolicies({ worldId })).policies).toHaveLength(1);
    const other = `${document}\nmin_samples: 3\n`;
    const reused = policies().createPolicy({ worldId, document: other, requestId: "p" });
    expect(await reasonOf(reused)).toBe("REQUEST_ID_REUSED");
    const checked = await policies().createPolicy({
      worldId,
      document: other,
      validateOnly: true,
      requestId: "p",
    });
    expect(checked.policy?.version).toBe(0);

    const judged = await decisions().evaluate({ worldId, requestId: "e" });
    const judgedAgain = await decisions().evaluate({ worldId, requestId: "e" });
    const tried = await decisions().evaluate({ worldId, requestId: "t", validateOnly: true });
    expect(judgedAgain.evaluation).toEqual(judged.evaluation);
    expect(tried.evaluation?.evaluationId).toBe("");
  });

  test("belongs to one world of a name: made again it is free", async () => {
    const worldId = await makeWorld("a");
    await policies().createPolicy({ worldId, document, requestId: "p" });
    await decisions().evaluate({ worldId, requestId: "e" });
    await worlds().deleteWorld({ worldId });
    await worlds().createWorld({
      world: { worldId, clock: WorldClock.WALL },
      requestId: `${worldId}-again`,
    });

    const { policy } = await policies().createPolicy({ worldId, document, requestId: "p" });
    expect(policy).toMatchObject({ version: 1, isDefault: true });
    const { evaluation } = await decisions().evaluate({ worldId, requestId: "e" });
    expect(evaluation?.strategies).toEqual([]);
  });
});

describe("returns", () => {
  const report = (returns: object, role: "researcher" | "gateway" = "researcher") =>
    wire
      .as(role)
      .client(DecisionService)
      .reportReturns({
        worldId,
        returns: [{ strategyId: "a", series: { ...series, ...returns } }],
      });
  let worldId: string;
  beforeAll(async () => {
    worldId = await makeWorld("a");
  });

  test("of a backtest come from a researcher, those of paper and the watermark from a gateway alone", async () => {
    const paper = {
      domain: ExecutionDomain.DRYRUN,
      returns: [0.1, 0.2],
      bucketEndMs: [1_000, 2_000],
      exposed: [true, false],
    };
    expect((await report({})).samples).toEqual([100]);
    expect(await reasonOf(report(paper))).toBe("ROLE_REQUIRED");
    const watermark = wire
      .as("researcher")
      .client(DecisionService)
      .reportReturns({ worldId, watermarkTime: timestampFromMs(1) });
    expect(await reasonOf(watermark)).toBe("ROLE_REQUIRED");
    expect((await report(paper, "gateway")).samples).toEqual([2]);
    expect((await report(paper, "gateway")).samples).toEqual([2]);
  });

  test("without a value are left out, where the bucket is known", async () => {
    const gaps = { returns: [0.1, Number.NaN, 0.3] };
    const dated = { ...gaps, bucketEndMs: [1_000, 2_000, 3_000], exposed: [true, true, false] };
    expect((await report(dated)).samples).toEqual([2]);
    expect(await refusalOf(report(gaps))).toEqual({
      reason: "SERIES_INVALID",
      fields: ["returns[0].series.bucket_end_ms"],
    });
  });

  test.each([
    ["interval", { interval: durationFromMs(1_500) }],
    ["interval", { interval: durationFromMs(-1_000) }],
    ["bucket_end_ms", { returns: [0.1, 0.2], bucketEndMs: [2_000, 1_000] }],
    ["bucket_end_ms", { returns: [0.1, 0.2], bucketEndMs: [1_000] }],
    ["bucket_end_ms", { returns: [0.1], bucketEndMs: [0.5] }],
    ["exposed", { returns: [0.1, 0.2], exposed: [true] }],
    ["returns", { returns: [Number.POSITIVE_INFINITY] }],
  ])("with a wrong %s are refused and replace nothing", async (field, wrong) => {
    await report({});
    expect(await refusalOf(report(wrong))).toEqual({
      reason: "SERIES_INVALID",
      fields: [`returns[0].series.${field}`],
    });
    const { evaluation } = await decisions().evaluate({
      worldId,
      validateOnly: true,
      policyDocument: document,
      requestId: "look",
    });
    expect(evaluation?.strategies[0]?.rules[0]).toMatchObject({
      use: RuleUse.ENTER,
      stage: EffectiveMode.COMPUTE_ONLY,
      domain: ExecutionDomain.BACKTEST,
      verdict: RuleVerdict.PASS,
      samples: 100,
    });
  });
});
