import { fileURLToPath } from "node:url";
import { loadConfig } from "@qmtl/sdk/config";
import { expect, test } from "vitest";

test("the example configuration at the root is one the platform takes", () => {
  const path = fileURLToPath(new URL("../../qmtl.yml", import.meta.url));

  const config = loadConfig({ path, env: {} });

  expect(Object.keys(config.sources)).toEqual(["sp500", "lead", "follow"]);
  expect(config.accounts.main?.instruments).toEqual(["SPX", "FOLLOW"]);
});
