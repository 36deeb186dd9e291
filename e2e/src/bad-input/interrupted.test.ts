import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts, waitUntil } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
const program = join(repository, "cli/bin/qmtl.js");
const outputCharsMax = 4_000;
/** Longest run of a command, milliseconds; one that still runs then is killed, and has no exit code. */
const runMsMax = 90_000;
/** Longest time for a child process, which gets the signal, too, to be gone, milliseconds. */
const goneMsMax = 10_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "qmtl-interrupted-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Interrupted {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  /** True when a process it started is still running. */
  readonly isOrphaned: boolean;
}

/** Runs a command in a process group of its own and sends Ctrl-C to all of it: after a time, or at a text it prints. */
function interrupted(
  args: readonly string[],
  cwd: string,
  at: number | string,
): Promise<Interrupted> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const { pid = 0 } = child;
    const stop = (): void => {
      if (child.exitCode === null) process.kill(-pid, "SIGINT");
    };
    let output = "";
    let isSent = false;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-outputCharsMax);
        if (isSent || typeof at === "number" || !output.includes(at)) return;
        isSent = true;
        stop();
      });
    const timer = typeof at === "number" ? setTimeout(stop, at) : undefined;
    const guard = setTimeout(() => process.kill(-pid, "SIGKILL"), runMsMax);
    child.once("close", async (exitCode, signal) => {
      clearTimeout(timer);
      clearTimeout(guard);
      const isOrphaned = await waitUntil(() => !isAlive(-pid), { timeoutMs: goneMsMax }).then(
        () => false,
        () => true,
      );
      if (isOrphaned) process.kill(-pid, "SIGKILL");
      resolve({ exitCode, signal, output, isOrphaned });
    });
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const whole = [
  "README.md",
  "data/bars.csv",
  "package.json",
  "strategy.ts",
  "tests/strategy.test.ts",
];

describe("Ctrl-C", { timeout: 240_000 }, () => {
  // From before the program is loaded to after its end.
  test.each([60, 200, 300, 400, 500, 600, 700, 800, 1_000])(
    "%i ms into a scaffold leaves all of it or nothing",
    async (ms) => {
      const place = await mkdtemp(join(folder, "scaffold-"));

      const end = await interrupted(
        ["project", "init", "--path", "mine", "--with-sample-data"],
        place,
        ms,
      );

      const isThere = existsSync(join(place, "mine"));
      expect(readdirSync(place)).toEqual(isThere ? ["mine"] : []);
      if (isThere)
        for (const file of whole) expect(existsSync(join(place, "mine", file)), file).toBe(true);
      expect(end.isOrphaned).toBe(false);
      // The signal killed it outright only before anything was written, or when all was done and printed.
      const isDone = end.signal === null ? end.exitCode === 0 : end.output.includes("project mine");
      expect({ ...end, isDone }).toMatchObject({ isDone: isThere });
    },
  );

  test.each([150, 700, 1_500, "ready"])(
    "while the platform comes up (%s) ends it whole: no process stays, and it starts again",
    async (moment) => {
      const place = await platformFolder();

      const end = await interrupted(["up"], place, moment);
      const again = moment === "ready" ? await interrupted(["up"], place, "ready") : undefined;

      expect(end.isOrphaned).toBe(false);
      expect([0, 130, null]).toContain(end.exitCode);
      if (moment === "ready") expect(end.exitCode).toBe(0);
      if (again !== undefined) expect(again).toMatchObject({ exitCode: 0, isOrphaned: false });
    },
  );

  test("a backtest, a wait for a gateway and a watch end at once, and leave nothing behind", async () => {
    const place = await platformFolder();
    const runs = [
      ["--offline --watch", "waiting for changes"],
      ["--world nowhere", "no gateway at"],
    ].map(([how = "", shown = ""]) =>
      interrupted(["run", "strategy.ts", ...how.split(" ")], place, shown),
    );

    for (const end of await Promise.all(runs)) {
      expect(end.output).not.toMatch(/ {4}at .*\(/);
      expect([0, 130]).toContain(end.exitCode);
      expect(end.isOrphaned).toBe(false);
    }
  });
});

const STRATEGY = `
import { column, PositionTargetNode, Strategy, StreamInput } from "@qmtl/sdk";

export class Holder extends Strategy {
  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    this.addNodes([new PositionTargetNode({ signal: column(bars, "close"), instrument: "X", thresholds: { longEnter: 1 } })]);
  }
}
`;

async function platformFolder(): Promise<string> {
  const place = await mkdtemp(join(folder, "platform-"));
  const [gateway, web, dag, world] = await freePorts(4);
  const rows = Array.from({ length: 90 }, (_, day) => {
    const date = new Date(Date.UTC(2020, 0, 1 + day)).toISOString().slice(0, 10);
    return `${date},10,11,9,10`;
  });
  await symlink(join(repository, "node_modules"), join(place, "node_modules"));
  await writeFile(join(place, "strategy.ts"), STRATEGY);
  await writeFile(join(place, "feed.csv"), `date,open,high,low,close\n${rows.join("\n")}\n`);
  await writeFile(
    join(place, "qmtl.yml"),
    `sources: {day: {file: feed.csv, interval: 1d}}
instruments: {X: {mark_source: day}}
gateway: {port: ${gateway}, web_port: ${web}}
dag_manager: {port: ${dag}}
world_service: {port: ${world}}
sdk: {gateway_url: "http://127.0.0.1:${gateway}"}
telemetry: {log_level: warn}
`,
  );
  return place;
}
