import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startStack } from "../harness/start-stack.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "qmtl-armed-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** How `qmtl up` ends with a failpoint armed: its exit code and what it printed. */
async function endOfUp(failpoint: string, config: string): Promise<string> {
  const storage = `{kind: embedded, data_dir: ${join(folder, "data")}}`;
  const up = startStack({ config, storage, env: { QMTL_FAILPOINT: failpoint } });
  return up.then(
    async (stack) => {
      await stack[Symbol.asyncDispose]();
      return "it started";
    },
    (failure: unknown) => String(failure),
  );
}

describe("qmtl up with a failpoint armed", () => {
  test("is refused outside test mode before anything is made", async () => {
    const said = await endOfUp("w.freeze.before_commit", "");

    expect(said).toContain("ended with 1");
    expect(said).toContain("FAILPOINT_REFUSED");
    expect(existsSync(join(folder, "data"))).toBe(false);
  }, 120_000);

  test("is bad usage in test mode when the text cannot be read", async () => {
    const said = await endOfUp("w.freeze.before_commit:0", "test: {test_mode: true}");

    expect(said).toContain("ended with 2");
    expect(said).toContain("CONFIG_INVALID");
  }, 120_000);
});
