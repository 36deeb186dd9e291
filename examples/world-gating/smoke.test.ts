import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import type { FollowedProcess } from "../smoke/followed-process.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe("the gate of a world", () => {
  let example: ExampleProject;
  let runner: FollowedProcess;
  const advance = (date: string) =>
    example.type(`npx qmtl queues advance sp500 --to ${date} --wait`);
  beforeAll(async () => {
    example = await openExample("world-gating");
    await example
      .typeStaying("npx qmtl up                                  # stays")
      .waitFor(/ready/);
    await example.type("npx qmtl world create gated --clock replay --source sp500 --account main");
    await example.type("npx qmtl policy add gated strict.yml");
    runner = example.typeStaying("npx qmtl run strategy.ts --world gated       # stays");
    await runner.waitFor(/takeover/);
  });
  afterAll(() => example?.[Symbol.asyncDispose]());

  test("stays shut for a strategy whose backtest fails the policy, and says why", async () => {
    await advance("2015-01-15");
    const refused = await example.typeRefused(
      "npx qmtl world apply gated --run first --to compute-only",
    );
    const decided = await example.type("npx qmtl world decide gated");
    const explained = await example.type("npx qmtl explain gated Trend");

    expect(refused.stderr).toContain("drawdown 0.32 > 0.25 [MODE_NOT_REACHABLE]");
    for (const term of ["world_stage=validate", "allow_live=paper", "breaker=live"])
      expect(decided).toContain(term);
    expect(decided.trim()).toMatch(/^validate: .*; bound by world_stage, nothing_selected$/);
    expect(explained).toMatch(/drawdown 0.32 > 0.25. 0 orders were sent, [1-9]\d* were wanted/);
    expect(explained).toMatch(/fail +drawdown 0.32 > 0.25 +\(backtest, 3772 samples\)/);
    expect(runner.output()).not.toContain("gate_opened");
  });

  test("opens once another policy lets it in, and orders leave", async () => {
    await example.type("npx qmtl policy add gated relaxed.yml");
    await example.type("npx qmtl policy set-default gated 2");
    await example.type("npx qmtl world apply gated --run second --to compute-only");
    const applied = await example.type("npx qmtl world apply gated --run third --to paper");
    await advance("2015-02-13");
    await runner.waitFor(
      /orders may leave \(paper\)([\s\S]*target_sent +target [01], 1 orders){3}/,
    );

    expect(applied.match(/^\w+/gm)).toEqual(["freezing", "switched", "unfrozen", "completed"]);
    expect(runner.output().match(/target_sent +target [01], 1 orders/g)).toHaveLength(3);
  });

  test("is shut by a freeze, and lets out the one order that is missing when it is resumed", async () => {
    await example.type('npx qmtl world freeze gated --reason "to look at it"');
    await advance("2015-03-11");
    const frozen = await example.type("npx qmtl explain gated Trend");
    await example.type('npx qmtl world resume gated --hold manual --reason "looked at it"');
    await runner.waitFor(/gate_shut[\s\S]*gate_opened[\s\S]*target 0, 1 orders/);
    const orders = await example.type("npx qmtl orders --world gated");

    expect(frozen).toContain("The world's gate is CLOSED. 3 orders were sent");
    expect(orders.match(/ filled +target +3$/gm)).toHaveLength(3);
    expect(orders.match(/ accepted +target +4$/gm)).toHaveLength(1);
    expect(example.untyped()).toEqual([]);
  });
});
