import { expect, test } from "vitest";
import { PgliteStatements, preparedMax, preparedRunsMax } from "./pglite-statements.ts";

test("a statement is parsed the first time and run by its name after that", () => {
  const statements = new PgliteStatements();
  const first = statements.run("select 1");
  const again = statements.run("select 1");
  expect([first.isNew, first.messages.length]).toEqual([true, 1]);
  expect([again.isNew, again.messages.length, again.name]).toEqual([false, 0, first.name]);
});

test("a plan is made anew after a number of runs, for tables grow", () => {
  const statements = new PgliteStatements();
  const { name } = statements.run("select 1");
  for (let runs = 1; runs < preparedRunsMax; runs += 1) statements.run("select 1");
  const renewed = statements.run("select 1");
  expect(renewed.isNew).toBe(true);
  expect(renewed.name).not.toBe(name);
  // The old statement is closed in the same run.
  expect(renewed.messages).toHaveLength(2);
});

test("the one used longest ago is closed when there are too many", () => {
  const statements = new PgliteStatements();
  for (let at = 0; at < preparedMax; at += 1) statements.run(`select ${at}`);
  statements.run("select 0");
  statements.run("one more");
  expect(statements.size).toBe(preparedMax);
  expect(statements.run("select 0").isNew).toBe(false);
  expect(statements.run("select 1").isNew).toBe(true);
});

test("a script closes all of them", () => {
  const statements = new PgliteStatements();
  statements.run("select 1");
  statements.run("select 2");
  statements.forgetAll();
  expect(statements.run("select 1")).toMatchObject({ isNew: true, messages: { length: 3 } });
});
