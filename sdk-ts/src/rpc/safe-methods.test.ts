import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { serviceConfig } from "./channel-options.ts";
import { SAFE_METHODS } from "./safe-methods.ts";

/** `package.Service/Method` of every rpc whose comment says "safe to retry". */
function safeInContracts(): string[] {
  const root = fileURLToPath(new URL("../../../proto/qmtl", import.meta.url));
  return globSync(`${root}/**/*.proto`).flatMap((path) => {
    const found: string[] = [];
    let name = "";
    let service = "";
    let comment = "";
    for (const line of readFileSync(path, "utf8")
      .split("\n")
      .map((text) => text.trim())) {
      name = /^package (\S+);/.exec(line)?.[1] ?? name;
      service = /^service (\w+)/.exec(line)?.[1] ?? service;
      const method = /^rpc (\w+)\(/.exec(line)?.[1];
      if (method !== undefined && /safe to retry/i.test(comment))
        found.push(`${name}.${service}/${method}`);
      comment = line.startsWith("//") ? `${comment} ${line.slice(2).trim()}` : "";
    }
    return found;
  });
}

test("the list of methods repeated on UNAVAILABLE is the one the contracts' comments promise", () => {
  expect([...SAFE_METHODS].sort()).toEqual(safeInContracts().sort());
});

test("only the listed methods are repeated, and only on UNAVAILABLE", () => {
  const config = JSON.parse(serviceConfig(["a.B/C"], 3));
  expect(config.methodConfig).toHaveLength(1);
  expect(config.methodConfig[0].name).toEqual([{ service: "a.B", method: "C" }]);
  expect(config.methodConfig[0].retryPolicy.retryableStatusCodes).toEqual(["UNAVAILABLE"]);
  expect(JSON.parse(serviceConfig([], 3)).methodConfig).toEqual([]);
});
