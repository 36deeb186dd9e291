import { expect, test } from "vitest";
import { serviceConfig } from "./channel-options.ts";

test("only the listed methods are repeated, and only on UNAVAILABLE", () => {
  const config = JSON.parse(serviceConfig(["a.B/C"], 3));
  expect(config.methodConfig).toHaveLength(1);
  expect(config.methodConfig[0].name).toEqual([{ service: "a.B", method: "C" }]);
  expect(config.methodConfig[0].retryPolicy.retryableStatusCodes).toEqual(["UNAVAILABLE"]);
  expect(JSON.parse(serviceConfig([], 3)).methodConfig).toEqual([]);
});
