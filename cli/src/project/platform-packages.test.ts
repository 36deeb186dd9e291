import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installedPackages } from "./platform-packages.ts";

let folder: string;
let program: URL;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "qmtl installed-"));
  mkdirSync(join(folder, "app/node_modules/qmtl-cli"), { recursive: true });
  mkdirSync(join(folder, "packed here"));
  writeFileSync(join(folder, "packed here/qmtl-cli-0.1.0.tgz"), "");
  program = pathToFileURL(join(folder, "app/node_modules/qmtl-cli/"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function lock(text: string): void {
  writeFileSync(join(folder, "app/node_modules/.package-lock.json"), text);
}
const resolved = (from: string): string =>
  JSON.stringify({ packages: { "node_modules/qmtl-cli": { resolved: from } } });

test("a program installed from a tarball knows the folder of it", () => {
  lock(resolved("file:../packed here/qmtl-cli-0.1.0.tgz"));

  expect(installedPackages(program)).toBe(join(folder, "packed here"));
});

test.each([
  ["from a registry", resolved("https://example.org/qmtl-cli/-/qmtl-cli-0.1.0.tgz")],
  ["from a tarball that is gone", resolved("file:../packed here/qmtl-cli-0.0.9.tgz")],
  ["by somebody who writes no such file", "not JSON"],
])("installed %s it knows none", (_, text) => {
  lock(text);

  expect(installedPackages(program)).toBeUndefined();
});
