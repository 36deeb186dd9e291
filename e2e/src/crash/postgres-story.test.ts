import { describePostgres } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { findViolations } from "./check-story.ts";
import { planPoints } from "./kill-plan.ts";
import { runStory } from "./run-story.ts";

const points = [
  "dag.swap.after_commit",
  "gw.order.before_commit",
  "gw.order.after_commit",
  "random",
  "w.switch.before_commit",
  "w.unfreeze.before_commit",
  "random",
  "gw.fill.before_commit",
  "w.apply.after_commit",
  "random",
];

describePostgres("a platform over a database server", (server) => {
  test("dies 10 times: no order outside permission, none twice, nothing acknowledged is lost", async () => {
    const dsn = await server().createDatabase();

    const { deaths, record } = await runStory({ seed: 2, plan: planPoints(2, points), dsn });

    expect(findViolations(record)).toEqual([]);
    expect(deaths.filter(({ isReached }) => !isReached)).toEqual([]);
    expect(deaths).toHaveLength(10);
    expect(record.executions.length).toBeGreaterThan(5);
  }, 1_800_000);
});
