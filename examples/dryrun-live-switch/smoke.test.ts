import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import type { FollowedProcess } from "../smoke/followed-process.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** The lines of a table of orders. */
const ordersIn = (table: string): string[] => table.match(/^q.*$/gm) ?? [];

describe("the switch between dryrun and live", () => {
  let example: ExampleProject;
  let run: FollowedProcess;
  const advance = (date: string) =>
    example.type(`npx qmtl queues advance sp500 --to ${date} --wait`);
  const sentBy = async (stopped: FollowedProcess): Promise<number> => {
    const { stdout } = await stopped.end("SIGINT");
    return Number(/(\d+) orders sent/.exec(stdout)?.[1]);
  };
  beforeAll(async () => {
    example = await openExample("dryrun-live-switch");
    await example
      .typeStaying("npx qmtl up                                                         # stays")
      .waitFor(/ready/);
    const options = "--clock wall --source sp500 --account main --allow-live --max-lag-days 100000";
    await example.type(`npx qmtl world create trial ${options}`);
    await example.type("npx qmtl policy add trial policy.yml");
  });
  afterAll(() => example?.[Symbol.asyncDispose]());
  let sentOnPaper = 0;

  test("reads the old trade_mode: paper as dryrun, with a warning, and trades on paper", async () => {
    const explained = await example.type(
      "npx qmtl --config legacy.yml config explain sdk.execution_domain",
    );
    run = example.typeStaying(
      "npx qmtl --config legacy.yml run strategy.ts --world trial          # stays",
    );
    await run.waitFor(/takeover/);
    await example.type("npx qmtl world apply trial --run first --to compute-only");
    await example.type("npx qmtl world apply trial --run second --to paper");
    await advance("2015-01-15");
    await run.waitFor(/orders may leave \(paper\)/);

    expect(explained).toMatch(/value +"dryrun"\n +from +sdk.trade_mode/);
    expect(run.output()).toMatch(/sdk.trade_mode is an old name/);
    sentOnPaper = await sentBy(run);
    expect(sentOnPaper).toBeGreaterThan(0);
  });

  test("trades on paper under execution_domain: dryrun, and sends nothing once the world is live", async () => {
    run = example.typeStaying(
      "npx qmtl run strategy.ts --world trial                              # stays",
    );
    await run.waitFor(/takeover/);
    await advance("2015-01-23");
    const refused = await example.typeRefused("npx qmtl world apply trial --run third --to live");
    const applied = await example.type(
      "npx qmtl world apply trial --run fourth --to live --allow-live",
    );
    await run.waitFor(/ABOVE_EXECUTION_DOMAIN: the world grants live, this run sends up to dryrun/);
    await advance("2015-02-13");
    const orders = await example.type("npx qmtl orders --world trial");
    const sent = await sentBy(run);

    expect(refused.stderr).toContain("explicit consent: allow_live [LIVE_NOT_ALLOWED]");
    expect(applied).toContain("completed");
    expect(sent).toBeGreaterThan(0);
    expect(ordersIn(orders)).toHaveLength(sentOnPaper + sent);
    // Fence 4 is that of the apply to live.
    expect(ordersIn(orders).filter((order) => / 4$/.test(order))).toEqual([]);
    expect(run.output()).toMatch(/[1-9]\d* wanted while the gate was shut/);
  });

  test("sends under a live gate once it is switched to live", async () => {
    run = example.typeStaying(
      "QMTL__SDK__EXECUTION_DOMAIN=live npx qmtl run strategy.ts --world trial    # stays",
    );

    await run.waitFor(/orders may leave \(live\)/);
    expect(example.untyped()).toEqual([]);
  });
});
