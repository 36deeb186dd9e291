import { expect, test } from "vitest";
import type { OnlineEvent } from "./online-run.ts";
import { RunReporter } from "./run-reporter.ts";

test("a problem that comes with each retry is told once, then once a minute with its count", () => {
  let nowMs = 0;
  const told: string[] = [];
  const reporter = new RunReporter({ onProblem: (problem) => told.push(problem) }, () => nowMs);
  for (; nowMs < 60_000; nowMs += 500) reporter.problem("the gateway does not answer");
  reporter.problem("something else");
  expect(told).toEqual(["the gateway does not answer", "something else"]);

  reporter.problem("the gateway does not answer");

  expect(told[2]).toBe("the gateway does not answer (and 119 more times before)");
  expect(told).toHaveLength(3);
});

test("problems that each differ are all told, and few of them are remembered", () => {
  const told: string[] = [];
  const reporter = new RunReporter({ onProblem: (problem) => told.push(problem) }, () => 0);
  for (let at = 0; at < 200; at += 1) reporter.problem(`row ${at} differs`);
  expect(told).toHaveLength(200);

  reporter.problem("row 199 differs");
  reporter.problem("row 0 differs");

  expect(told.slice(200)).toEqual(["row 0 differs"]);
});

test("the same event seventy times in a row is told once, and counted before the next one", () => {
  const told: string[] = [];
  const onEvent = ({ kind, message }: OnlineEvent) => void told.push(`${kind} ${message}`);
  const reporter = new RunReporter({ onEvent }, () => 0);

  for (let at = 0; at < 70; at += 1) reporter.event("target_refused", "BUCKET_STALE");
  reporter.event("gate_opened", "orders may leave (paper)");

  expect(told).toEqual([
    "target_refused BUCKET_STALE",
    "target_refused BUCKET_STALE (69 more times)",
    "gate_opened orders may leave (paper)",
  ]);
});

test("an event that goes on is told once a minute, and one of a row each time", () => {
  let nowMs = 0;
  const told: string[] = [];
  const onEvent = ({ message }: OnlineEvent) => void told.push(message);
  const reporter = new RunReporter({ onEvent }, () => nowMs);

  for (; nowMs <= 60_000; nowMs += 20_000) reporter.event("target_refused", "BUCKET_STALE");
  reporter.event("target_sent", "target 1, 1 orders", 7);
  reporter.event("target_sent", "target 1, 1 orders", 8);

  expect(told).toEqual([
    "BUCKET_STALE",
    "BUCKET_STALE (3 more times)",
    "target 1, 1 orders",
    "target 1, 1 orders",
  ]);
});
