import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import type { FollowedProcess } from "../smoke/followed-process.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describe("one strategy in two worlds", () => {
  let example: ExampleProject;
  const runners: FollowedProcess[] = [];
  beforeAll(async () => {
    example = await openExample("intent-first-two-worlds");
    const up = "npx qmtl up    # stays; the rest in a second terminal";
    await example.typeStaying(up).waitFor(/ready/);
  });
  afterAll(() => example?.[Symbol.asyncDispose]());

  test("hands in a graph whose nodes the second world finds there", async () => {
    for (const world of ["bold", "cautious"]) {
      const more = "--clock replay --source sp500 --account main --allocation 0.5";
      await example.type(`npx qmtl world create ${world} ${more}`);
      await example.type(`npx qmtl policy add ${world} ${world}.yml`);
    }

    const bold = example.typeStaying(
      "npx qmtl run strategy.ts --world bold        # submitted  s-cf9ee34602587a6b: 5 new nodes, 0 reused",
    );
    await bold.waitFor(/5 new nodes, 0 reused[\s\S]*takeover/);
    const cautious = example.typeStaying(
      "npx qmtl run strategy.ts --world cautious    # submitted  s-cf9ee34602587a6b: 0 new nodes, 5 reused",
    );
    await cautious.waitFor(/s-cf9ee34602587a6b: 0 new nodes, 5 reused[\s\S]*takeover/);
    runners.push(bold, cautious);
  });

  test("is let into paper by one policy and held by the other", async () => {
    await example.type("npx qmtl world apply bold --run bold-1 --to compute-only");
    await example.type("npx qmtl world apply bold --run bold-2 --to paper");
    const refused = await example.typeRefused(
      "npx qmtl world apply cautious --run cautious-1 --to compute-only",
    );

    expect(refused.stderr).toContain("sharpe 0.70 < 1 [MODE_NOT_REACHABLE]");
    expect(refused.exitCode).toBe(1);
  });

  test("trades in one world and only wants to in the other", async () => {
    await example.type("npx qmtl queues advance sp500 --to 2015-01-23 --wait");
    const sent = await example.type("npx qmtl orders --world bold");
    const held = await example.type("npx qmtl orders --world cautious");
    const why = await example.type("npx qmtl explain cautious IntentFirstStrategy");

    expect(sent.match(/ filled +target /g)).toHaveLength(5);
    expect(held.trim()).toBe("(none)");
    expect(why).toContain(
      "It is validate: sharpe 0.70 < 1. 0 orders were sent, 5 were wanted while the gate was shut.",
    );
  });

  test("plans a move of capital between the worlds and sends nothing", async () => {
    const plan = await example.type(
      "npx qmtl rebalance plan --account main --world bold=0.8:IntentFirstStrategy=1 --world cautious=0.2:IntentFirstStrategy=1",
    );

    expect(plan).toMatch(/s-cf9ee34602587a6b +SPX +-14\.\d/);
    expect(plan).toMatch(/a preview at account revision \d+; nothing was stored or sent/);
    for (const runner of runners) await runner.end("SIGINT");
    expect(runners[0]?.output()).toContain("5 orders sent, 0 wanted while the gate was shut");
    expect(runners[1]?.output()).toContain("0 orders sent, 5 wanted while the gate was shut");
    expect(example.untyped()).toEqual([]);
  });
});
