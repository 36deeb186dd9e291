import { expect, test } from "vitest";
import { checksOf } from "./check-health.ts";

test("a peer, store, bus or disk that fails is an error with what to do; contracts are left out", () => {
  const checks = checksOf(
    new Map([
      ["", true],
      ["qmtl.world.v1.WorldService", false],
      ["store/postgres", true],
      ["bus/kafka", false],
      ["peer/dag-manager", true],
      ["peer/world-service", false],
      ["peer/of-a-later-version", false],
      ["disk", false],
    ]),
  );

  expect(checks.map(({ name, status, detail }) => [name, status, detail])).toEqual([
    ["gateway store", "ok", "postgres: answers the gateway"],
    ["gateway bus", "error", "kafka: does not answer the gateway"],
    ["DAG Manager", "ok", "answers the gateway"],
    ["WorldService", "error", "does not answer the gateway"],
    ["gateway disk", "error", "less than 1 GiB is free"],
  ]);
  expect(checks.every(({ status, fix }) => (status === "ok") === (fix === undefined))).toBe(true);
});
