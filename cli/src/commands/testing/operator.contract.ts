import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { CommandOutcome } from "./run-in-process.ts";

const STRATEGY = `
import { column, PositionTargetNode, sma, Strategy, StreamInput } from "@qmtl/sdk";
export class Crossing extends Strategy {
  static readonly module = import.meta.url;
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d", tags: ["price"] });
    const signal = sma(column(bars, "close", { name: "close" }), 2, { name: "mean" });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

/** A running platform, and how to call it. */
export interface OperatorRig {
  /** Runs a command against the platform; `$` in a word is the folder. */
  readonly qmtl: (...words: readonly string[]) => Promise<CommandOutcome>;
  /** Folder that a strategy may be written to. */
  readonly folder: () => string;
}

/**
 * Tests of the operators' commands, on a platform with a source `day`, an instrument `X`, an account `spare` that
 * nothing else uses, and rebalancing in schema version 2.
 */
export function operatorContract(rig: OperatorRig): void {
  const { folder } = rig;
  const { answer } = asking(rig);
  beforeAll(async () => {
    writeFileSync(join(folder(), "crossing.ts"), STRATEGY);
    writeFileSync(
      join(folder(), "bad.yml"),
      "thresholds:\n  dd: {metric: no_such_metric, max: 1}\n",
    );
    const how = ["--clock", "replay", "--source", "day", "--account", "spare"];
    for (const world of ["omega", "sigma"])
      await answer("world", "create", world, ...how, "--allocation", "0.5");
  });

  graphAndNames(rig);
  worldSettings(rig);
  moneyAndOrders(rig);
}

/** Helpers that run a command: one expects success and gives its answer, one expects a refusal. */
function asking({ qmtl }: OperatorRig) {
  async function answer(...args: readonly string[]) {
    const { exitCode, out, err } = await qmtl(...args, "--json");
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: [] });
    return JSON.parse(out[0]!);
  }

  async function refusal(...args: readonly string[]) {
    const { exitCode, err } = await qmtl(...args, "--json");
    return { exitCode, ...JSON.parse(err[0]!) };
  }

  return { answer, refusal };
}

function graphAndNames(rig: OperatorRig): void {
  const { answer, refusal } = asking(rig);

  test("a diff tells what a submission then does, and stores nothing", async () => {
    const before = await answer("dag", "diff", "$/crossing.ts", "--world", "omega");
    const sources = await answer("dag", "diff", "$/crossing.ts");
    const stored = await answer("dag", "stats", "--tag", "price");
    const submitted = await answer("submit", "$/crossing.ts", "--world", "omega");
    const after = await answer("dag", "diff", "$/crossing.ts", "--world", "omega");

    expect(before).toMatchObject({ duplicate: false, new_nodes: 4, reused_nodes: 0, nodes: 4 });
    expect(stored.queues).toEqual([]);
    const keys = (made: { queues: { node: string; compute_key: string }[] }) =>
      made.queues.map(({ node, compute_key }) => `${node} ${compute_key}`).sort();
    expect(keys(before)).toEqual(keys(submitted));
    expect(before.strategy_id).toBe(submitted.strategy_id);
    expect(sources.queues.every((each: { world_id: string }) => each.world_id === "")).toBe(true);
    expect(after).toMatchObject({ duplicate: true, new_nodes: 0, reused_nodes: 4 });
    expect(await answer("dag", "diff", "$/crossing.ts", "--world", "sigma")).toMatchObject({
      duplicate: false,
      new_nodes: 0,
      reused_nodes: 4,
    });
    expect(
      (await answer("dag", "stats", "--tag", "price", "--interval", "1d")).queues,
    ).toHaveLength(1);
    expect((await answer("dag", "stats", "--tag", "price", "--interval", "1h")).queues).toEqual([]);
  });

  describe("an unknown name", () => {
    test.each([
      ["explain", "omga", "Crossing"],
      ["world", "show", "omga"],
      ["submit", "$/crossing.ts", "--world", "omga"],
      ["run", "$/crossing.ts", "--world", "omga"],
      ["dag", "diff", "$/crossing.ts", "--world", "omga"],
      ["policy", "list", "omga"],
    ])("of a world is told with the nearest one: qmtl %s %s %s", async (...words) => {
      expect(await refusal(...words)).toMatchObject({
        exitCode: 1,
        reason: expect.stringMatching(/^WORLD_NOT_FOUND$/),
        hint: expect.stringMatching(/did you mean omega\?.*qmtl world list/),
      });
    });

    test("of a strategy is told with the nearest one, and where they are shown", async () => {
      await answer("submit", "$/crossing.ts", "--world", "omega");

      expect(await refusal("explain", "omega", "Crosing")).toMatchObject({
        exitCode: 1,
        error: "world omega has no strategy named Crosing",
        reason: "STRATEGY_NOT_FOUND",
        hint: "did you mean Crossing? `qmtl world show omega` shows its strategies",
      });
      expect((await refusal("explain", "sigma", "Crossing")).hint).toContain("there is none yet");
    });
  });
}

function worldSettings(rig: OperatorRig): void {
  const { answer, refusal } = asking(rig);

  describe("a world", () => {
    test("keeps the settings that were not named in an update", async () => {
      await answer("world", "update", "sigma", "--name", "Paper", "--on-demote", "keep");
      const now = await answer("world", "update", "sigma", "--max-lag-days", "2");

      expect(now).toMatchObject({
        display_name: "Paper",
        on_demote: "DEMOTE_POLICY_KEEP",
        max_lag: "172800s",
        allocation: 0.5,
        source: "day",
      });
      expect((await refusal("world", "update", "sigma")).exitCode).toBe(2);
      const bad = await refusal("world", "update", "sigma", "--allocation", "abc");
      expect(bad).toMatchObject({ exitCode: 2, error: expect.stringContaining("--allocation") });
    });

    test("is deleted only when that is said", async () => {
      await answer("world", "create", "gone", "--allocation", "0");
      const asked = await refusal("world", "delete", "gone");
      const kept = await answer("world", "bindings", "gone");
      const deleted = await answer("world", "delete", "gone", "--yes");

      expect(asked).toMatchObject({ exitCode: 2, hint: "give --yes if that is intended" });
      expect(kept).toEqual([]);
      expect(deleted).toEqual({ world_id: "gone", deleted: true });
      expect(await refusal("world", "bindings", "gone")).toMatchObject({ exitCode: 1 });
    });

    test("keeps nodes and edges of its view", async () => {
      const id = `blake3:${"0".repeat(64)}`;
      const node = ["world", "set-node", "sigma", id, "--status", "invalid"];
      await answer(...node, "--domain", "live", "--reason", "bad data");
      const edge = ["world", "set-edge", "sigma", "domain:backtest", "domain:live"];
      await answer(...edge, "--cut", "--reason", "isolate");

      expect(await answer("world", "nodes", "sigma")).toMatchObject([
        { node_id: id, status: "NODE_STATUS_INVALID", execution_domain: "EXECUTION_DOMAIN_LIVE" },
      ]);
      expect(await answer("world", "edges", "sigma")).toMatchObject([
        { source: "domain:backtest", target: "domain:live", active: false, reason: "isolate" },
      ]);
      expect((await refusal(...edge, "--reason", "x")).exitCode).toBe(2);
      expect((await refusal(...edge, "--cut")).exitCode).toBe(2);
    });

    test("selects by hand and is switched on by an apply alone", async () => {
      await answer("submit", "$/crossing.ts", "--world", "omega");
      const never = await refusal(
        ...["world", "activate", "omega", "Crossing", "--weight", "1", "--reason", "x"],
      );
      const selected = await answer("world", "select", "omega", "Crossing", "--reason", "this one");
      const nobody = await refusal("world", "select", "omega", "--reason", "x");

      expect(never).toMatchObject({ exitCode: 1, reason: "ACTIVATION_NOT_FOUND" });
      expect(never.hint).toContain("qmtl world apply");
      expect(selected.world_id).toBe("omega");
      expect(nobody).toMatchObject({ exitCode: 2 });
    });
  });
}

function moneyAndOrders(rig: OperatorRig): void {
  const { qmtl, folder } = rig;
  const { answer, refusal } = asking(rig);

  test("a policy is checked without naming a world, and a bad one is refused with its place", async () => {
    const bad = await refusal("policy", "validate", "$/bad.yml");

    expect(bad).toMatchObject({ exitCode: 1, reason: "METRIC_UNKNOWN" });
    expect((await refusal("policy", "validate", "$/none.yml")).exitCode).toBe(2);
    expect(await answer("policy", "list", "omega")).toEqual([]);
  });

  test("orders are cancelled by name or scope, and one that is not working is told", async () => {
    const unknown = await qmtl("orders", "cancel", "no-order", "--reason", "x");

    expect(unknown.exitCode).toBe(1);
    expect(unknown.err[0]).toBe("error: not found: no-order");
    const scoped = await answer("orders", "cancel", "--world", "omega", "--reason", "x");
    expect(scoped.results).toEqual([]);
    expect((await refusal("orders", "cancel", "--reason", "x")).exitCode).toBe(2);
    expect((await refusal("orders", "cancel", "--world", "omega")).exitCode).toBe(2);
    expect((await refusal("orders", "--strategy", "Crossing")).exitCode).toBe(2);
    expect(await answer("orders", "--world", "omega")).toEqual([]);
  });

  test("a what-if of version 2 has its alpha metrics", async () => {
    await answer("submit", "$/crossing.ts", "--world", "omega");
    const request = {
      allocations: [{ world_id: "omega", ratio: 0.4 }],
      books: { equity: { value: "1000" } },
    };
    writeFileSync(join(folder(), "request.json"), JSON.stringify(request));
    const asked = ["rebalance", "plan", "--file", "$/request.json"];
    const { schema_version, plan } = await answer(...asked, "--schema-version", "2");

    expect(schema_version.version).toBe(2);
    expect(plan.executable).toBe(false);
    expect(Object.keys(plan.alpha_metrics.per_world)).toEqual(["omega"]);
    expect(Object.keys(plan.alpha_metrics.per_strategy)).toHaveLength(1);
    expect((await answer(...asked)).plan.alpha_metrics).toBeUndefined();
  });

  test("the allocations of a plan are stored once per run id", async () => {
    await answer("submit", "$/crossing.ts", "--world", "omega");
    const plan = ["--account", "spare", "--world", "omega=0.4:Crossing=1"];
    writeFileSync(
      join(folder(), "plan.json"),
      JSON.stringify(await answer("rebalance", "plan", ...plan)),
    );
    const first = await answer("rebalance", "apply", "--file", "$/plan.json", "--run", "move");
    const again = await answer("rebalance", "apply", "--file", "$/plan.json", "--run", "move");
    const { allocations } = await answer("rebalance", "allocations", "--world", "omega");

    expect(again).toEqual(first);
    expect(allocations).toMatchObject([
      { world_id: "omega", ratio: 0.4, strategies: [{ share: 1 }] },
    ]);
  });

  test("the halts that touch a world stand in its decision, in what is shown of it, and in an explanation", async () => {
    const { strategy_id: strategyId } = await answer("submit", "$/crossing.ts", "--world", "omega");
    const places = [
      ["--account", "spare"],
      ["--world", "omega"],
      ["--strategy", strategyId],
    ];
    const halted: string[] = [];
    for (const place of [...places, ["--world", "sigma"]])
      halted.push((await answer("halt", ...place, "--reason", "why not")).halt.halt_id);
    const touching = halted.slice(0, 3);
    const idsIn = ({ halts }: { halts: { halt_id: string }[] }) =>
      halts.map(({ halt_id }) => halt_id);

    expect(idsIn(await answer("world", "decide", "omega"))).toEqual(touching);
    expect(idsIn(await answer("world", "show", "omega"))).toEqual(touching);
    for (const words of [
      ["world", "decide", "omega"],
      ["world", "show", "omega"],
      ["explain", "omega", "Crossing"],
    ]) {
      const { out } = await qmtl(...words);
      const lines = out.filter((line) => line.startsWith("halted: "));
      expect(lines).toHaveLength(3);
      expect(lines[0]).toMatch(/^halted: account spare {2}h-\S+ {2}why not {2}by \S+$/);
    }
    const { out } = await qmtl("explain", "omega", "Crossing");
    expect(out).toContain("order lease: held by no session, so no runner may send");

    for (const id of halted) await answer("resume", "--halt", id, "--reason", "done");
    expect(idsIn(await answer("world", "show", "omega"))).toEqual([]);
  });

  test("an adjustment is booked once per request id; books that differ end a reconciliation with 1", async () => {
    const adjust = ["account", "adjust", "spare", "--reason", "test", "--request", "r-1"];
    const first = await answer(...adjust, "--quantity", "5");
    const again = await answer(...adjust, "--quantity", "5");
    const { exitCode, out } = await qmtl("account", "reconcile", "spare");
    await answer(...["account", "adjust", "spare", "--reason", "back", "--quantity", "-5"]);

    expect(again.entry).toBe(first.entry);
    expect([exitCode, out[0]]).toEqual([1, expect.stringMatching(/^books differ: cash/)]);
    expect((await qmtl("account", "spare", "--reconcile")).exitCode).toBe(0);
    const bad = await refusal("account", "adjust", "spare", "--quantity", "5x", "--reason", "x");
    expect(bad).toMatchObject({ exitCode: 2, error: expect.stringContaining("--quantity") });
  });
}
