import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { startChildScript } from "./child-script.ts";
import { startGuarded } from "./guarded-process.ts";
import { findPostgresBinaries } from "./private-postgres.ts";
import { waitUntil } from "./wait-until.ts";

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

it("stops its process once, keeps its last words until then, and deletes its folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-guarded-"));
  const server = startGuarded({
    command: "sh",
    args: ["-c", "echo started; sleep 60"],
    folder,
    logFile: join(folder, "log"),
    stopSignal: "SIGTERM",
  });
  await waitUntil(() => server.logTail().includes("started"));
  await server.stop();
  await server.stop();
  expect(await server.ended).toBe("SIGTERM");
  expect([isRunning(server.pid), existsSync(folder)]).toEqual([false, false]);
});

it.skipIf(findPostgresBinaries() === undefined)(
  "does not outlive its parent, though that is killed",
  async () => {
    const child = startChildScript(new URL("./start-postgres.child.ts", import.meta.url), []);
    await waitUntil(() => child.lines.length === 1, { timeoutMs: 100_000 });
    const pid = Number(child.lines[0]);
    expect(isRunning(pid)).toBe(true);
    await child.kill();
    await waitUntil(() => !isRunning(pid), { what: "end of PostgreSQL" });
  },
  150_000,
);
