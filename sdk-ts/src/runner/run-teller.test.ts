import { expect, test } from "vitest";
import { RunTeller } from "./run-teller.ts";

test("a problem that comes with each retry is told once, then once a minute with its count", () => {
  let nowMs = 0;
  const told: string[] = [];
  const teller = new RunTeller({ onProblem: (problem) => told.push(problem) }, () => nowMs);
  for (; nowMs < 60_000; nowMs += 500) teller.problem("the gateway does not answer");
  teller.problem("something else");
  expect(told).toEqual(["the gateway does not answer", "something else"]);

  teller.problem("the gateway does not answer");

  expect(told[2]).toBe("the gateway does not answer (and 119 more times before)");
  expect(told).toHaveLength(3);
});

test("problems that each differ are all told, and few of them are remembered", () => {
  const told: string[] = [];
  const teller = new RunTeller({ onProblem: (problem) => told.push(problem) }, () => 0);
  for (let at = 0; at < 200; at += 1) teller.problem(`row ${at} differs`);
  expect(told).toHaveLength(200);

  teller.problem("row 199 differs");
  teller.problem("row 0 differs");

  expect(told.slice(200)).toEqual(["row 0 differs"]);
});
