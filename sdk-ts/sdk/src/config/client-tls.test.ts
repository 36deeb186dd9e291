import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { clientTls } from "./client-tls.ts";
import { loadConfig } from "./load-config.ts";

const folder = mkdtempSync(join(tmpdir(), "qmtl-ca-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function configWith(security: string) {
  const path = join(folder, "qmtl.yml");
  writeFileSync(path, `project: {name: ca}\n${security}\n`);
  return loadConfig({ path });
}

test("without a file the authorities of the system are trusted", () => {
  expect(clientTls(configWith(""))).toEqual({});
});

test("the authorities are read from a file beside the configuration", () => {
  writeFileSync(join(folder, "ca.pem"), "authorities");

  const { tls } = clientTls(configWith("security: {ca_file: ca.pem}"));

  expect(Buffer.from(tls?.ca ?? []).toString()).toBe("authorities");
});

test("a file that cannot be read is named by its key", () => {
  expect(() => clientTls(configWith("security: {ca_file: absent.pem}"))).toThrow(
    expect.objectContaining({
      reason: "CONFIG_INVALID",
      fields: [{ field: "security.ca_file", description: expect.any(String) }],
    }),
  );
});
