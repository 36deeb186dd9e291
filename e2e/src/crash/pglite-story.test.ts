import { expect, test } from "vitest";
import { findViolations } from "./check-story.ts";
import { planPoints } from "./kill-plan.ts";
import { runStory } from "./run-story.ts";

/** Deaths before and after each commit of an apply and of an order, with kills from outside in between. */
const points = [
  "dag.swap.before_commit",
  "w.apply.before_commit",
  "w.apply.after_commit",
  "w.resume_run.before_commit",
  "random",
  "w.switch.before_commit",
  "w.resume_run.after_commit",
  "w.switch.after_commit",
  "w.unfreeze.before_commit",
  "random",
  "w.unfreeze.after_commit",
  "w.complete.before_commit",
  "w.complete.after_commit",
  "gw.order.before_commit",
  "random",
  "gw.order.after_commit",
  "paper.accept.before_commit",
  "paper.accept.after_commit",
  "gw.fill.before_commit",
  "random",
  "gw.fill.after_commit",
  "w.rollback.before_commit",
  "w.rollback.after_commit",
  "gw.gate.after_commit",
  "random",
  "w.freeze.before_commit",
  "w.freeze.after_commit",
  "gw.submit.after_commit",
  "gw.submission.before_commit",
  "random",
  "gw.publish.after_append",
  "dag.publish.after_commit",
];

test("a platform in one folder dies 32 times: no order outside permission, none twice, nothing acknowledged is lost", async () => {
  const { deaths, record } = await runStory({ seed: 1, plan: planPoints(1, points) });

  expect(findViolations(record)).toEqual([]);
  expect(deaths.filter(({ isReached }) => !isReached)).toEqual([]);
  expect(deaths).toHaveLength(32);
  expect(record.executions.length).toBeGreaterThan(16);
}, 1_800_000);
