import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("a strategy file that awaits what never comes ends with 2 and says so", async () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-standstill-"));
  const file = join(folder, "strategy.ts");
  writeFileSync(file, "await new Promise(() => {});\n");
  const program = fileURLToPath(new URL("../bin/qmtl.js", import.meta.url));

  const answer = await new Promise<{ code: unknown; stderr: string }>((resolve) =>
    execFile(process.execPath, [program, "run", file, "--json"], (failure, _, stderr) =>
      resolve({ code: failure?.code, stderr }),
    ),
  );
  rmSync(folder, { recursive: true });

  expect(answer.code).toBe(2);
  expect(JSON.parse(answer.stderr)).toMatchObject({
    error: expect.stringContaining("awaits something that never happens"),
    hint: expect.stringContaining("top of the strategy file"),
  });
});
