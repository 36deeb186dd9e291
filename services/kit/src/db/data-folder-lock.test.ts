import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { startChildScript } from "../testing/child-script.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { lockDataFolder } from "./data-folder-lock.ts";
import { DataFolderLocked } from "./db-errors.ts";
import { thisProcess } from "./process-identity.ts";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-lock-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const deadPid = (): number => spawnSync("true").pid;
const writeLock = (folder: string, name: string, change: object) =>
  writeFileSync(join(folder, name), JSON.stringify({ ...thisProcess(), token: name, ...change }));

it("is held once, also within one process, until it is released", () => {
  const folder = temporaryFolder();
  const lock = lockDataFolder(folder);
  expect(() => lockDataFolder(folder)).toThrow(`in use by process ${process.pid}`);
  lock.release();
  lock.release();
  lockDataFolder(folder).release();
  expect(readdirSync(folder)).toEqual([]);
});

it("is not given back by one who lost it", () => {
  const folder = temporaryFolder();
  const old = lockDataFolder(folder);
  rmSync(join(folder, "lock"));
  const lock = lockDataFolder(folder);
  old.release();
  expect(() => lockDataFolder(folder)).toThrow(DataFolderLocked);
  lock.release();
});

it("is taken over from a dead process, from a reused pid and from an earlier boot", () => {
  for (const change of [{ pid: deadPid() }, { startTicks: "1" }, { bootId: "earlier" }]) {
    const folder = temporaryFolder();
    writeLock(folder, "lock", change);
    const lock = lockDataFolder(folder);
    expect(JSON.parse(readFileSync(join(folder, "lock"), "utf8"))).toMatchObject(thisProcess());
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  }
});

it.runIf(process.platform === "linux")(
  "is taken over from a process that has ended and whose parent never asked for it",
  async () => {
    // The long sleep replaces the shell while the short one runs, and never waits for its child.
    const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 60"]);
    onTestFinished(() => void parent.kill("SIGKILL"));
    const pid = Number(await new Promise((resolve) => parent.stdout.once("data", resolve)));
    const stat = () => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    await waitUntil(async () => stat()[0] === "Z");
    const folder = temporaryFolder();
    writeLock(folder, "lock", { pid, startTicks: stat()[19] });

    const lock = lockDataFolder(folder);

    expect(JSON.parse(readFileSync(join(folder, "lock"), "utf8"))).toMatchObject(thisProcess());
    lock.release();
  },
);

it("is not taken from a process that cannot be judged from here", () => {
  for (const change of [
    { bootId: "other", host: "elsewhere" },
    { pidSpace: "pid:[1]", pid: 1 },
  ]) {
    const folder = temporaryFolder();
    writeLock(folder, "lock", { ...change });
    expect(() => lockDataFolder(folder)).toThrow("if that has ended, remove");
  }
});

it("is taken over past the guard of a taker-over that died", () => {
  const folder = temporaryFolder();
  writeLock(folder, "lock", { pid: deadPid() });
  writeLock(folder, "lock.after-lock", { pid: deadPid() });
  lockDataFolder(folder).release();
  expect(readdirSync(folder)).toEqual([]);
});

it("refuses a lock file that it cannot read", () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "lock"), "what is this");
  expect(() => lockDataFolder(folder)).toThrow("is not a lock file");
});

it("goes to exactly one of several processes that take over a stale lock at once", async () => {
  for (let round = 0; round < 3; round += 1) {
    const folder = temporaryFolder();
    writeLock(folder, "lock", { pid: deadPid() });
    const script = new URL("./hold-lock.child.ts", import.meta.url);
    const children = Array.from({ length: 5 }, () => startChildScript(script, [folder]));
    try {
      await waitUntil(() => children.every(({ lines }) => lines.length === 1), {
        timeoutMs: 60_000,
      });
      expect(children.filter(({ lines }) => lines[0] === "locked")).toHaveLength(1);
    } finally {
      await Promise.all(children.map((child) => child.kill()));
    }
  }
}, 240_000);
