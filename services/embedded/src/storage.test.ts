import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@qmtl/sdk/config";
import { type LogFields, OutageLog, silentLogger } from "@qmtl/service-kit";
import { afterAll, expect, it } from "vitest";
import { openServiceStorage } from "./storage.ts";

const root = mkdtempSync(join(tmpdir(), "qmtl-storage-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it("says that a store is new, since one that was lost begins just as empty, and nothing of one that was there", async () => {
  writeFileSync(join(root, "qmtl.yml"), "storage: {data_dir: data}\n");
  const config = loadConfig({ path: join(root, "qmtl.yml"), env: {} });
  const lines: { text: string; fields?: LogFields | undefined }[] = [];
  const logger = {
    ...silentLogger,
    info: (text: string, fields?: LogFields) => void lines.push({ text, fields }),
  };
  const open = () =>
    openServiceStorage(config, new OutageLog(logger), {
      service: "world-service",
      schemas: ["world"],
      busSchema: "world_bus",
      peers: () => [],
    });

  const first = await open();
  await first.db("world").transaction((tx) => tx.script("create schema world"));
  await first.close();
  expect(lines).toEqual([
    {
      text: `a new store was created in ${join(root, "data-world-service")}; if there was one before, stop and restore it`,
      fields: { schemas: ["world", "world_bus"] },
    },
  ]);

  lines.length = 0;
  await (await open()).close();
  expect(lines).toEqual([]);
});
