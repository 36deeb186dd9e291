import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitUntil } from "@qmtl/sdk/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";
import { startWatchedCommand, type WatchedCommand } from "./testing/watched-command.ts";

let folder: string;
let watching: WatchedCommand | undefined;
const save = (name: string, text: string): void => writeFileSync(join(folder, name), text);

const SOURCES = `sources: {day: {file: feed.csv, interval: 1d, start: 2020-03-20, until: start}}
instruments: {X: {lot: "0.1", mark_source: day}}
accounts: {main: {instruments: [X]}}
`;
const PERIOD = (period: number) => `export const period = ${period};\n`;
const STRATEGY = (first = "") => `
import { column, PositionTargetNode, Strategy, StreamInput, sma } from "@qmtl/sdk";
import { period } from "./period.ts";

${first}
export class Crosser extends Strategy {
  static readonly module = import.meta.url;

  override setup(): void {
    const bars = new StreamInput({ source: "day", columns: ["open", "high", "low", "close"], instrument: "X", interval: "1d" });
    const signal = sma(column(bars, "close", { name: "close" }), period, { name: "mean" });
    const thresholds = { longEnter: 103, longExit: 103, shortEnter: 101, shortExit: 101 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}
`;

function feed(rows: number): string {
  const lines = Array.from({ length: rows }, (_, row) => {
    const close = 100 + ((row * 5) % 7);
    const date = new Date(Date.UTC(2020, 0, 1 + row)).toISOString().slice(0, 10);
    return [date, close, close + 1, close - 1, close].join(",");
  });
  return `date,open,high,low,close\n${lines.join("\n")}\n`;
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "run-watch-"));
  const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url));
  symlinkSync(modules, join(folder, "node_modules"));
  save("qmtl.yml", SOURCES);
  save("feed.csv", feed(90));
  save("period.ts", PERIOD(2));
  save("strategy.ts", STRATEGY());
});
afterEach(async () => {
  watching?.kill("SIGKILL");
  await watching?.ended;
  watching = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("offline", { timeout: 120_000 }, () => {
  const offline = ["run", "strategy.ts", "--offline", "--watch", "--json"];

  test("it runs again after a change of a module, the configuration or the data, also when runs fail", async () => {
    watching = startWatchedCommand(folder, offline);
    const first = await watching.next("result");
    save("run.json", JSON.stringify(first));
    const paths = ["--from", join(folder, "run.json"), "--out", join(folder, "report.html")];
    expect(await runInProcess("report", ...paths)).toMatchObject({ exitCode: 0, err: [] });

    save("period.ts", PERIOD(3));
    expect((await watching.next("changed")).files).toEqual([join(folder, "period.ts")]);
    const second = await watching.next("result");
    expect(second.run).toBe(2);
    expect(second.returns).not.toEqual(first.returns);

    save("period.ts", "export const period = ;\n");
    expect(await watching.next("failed")).toMatchObject({
      exit_code: 2,
      reason: "STRATEGY_IMPORT_FAILED",
    });
    save("period.ts~", PERIOD(2));
    renameSync(join(folder, "period.ts~"), join(folder, "period.ts"));
    expect((await watching.next("result")).returns).toEqual(first.returns);

    save("qmtl.yml", "sources: [");
    expect((await watching.next("failed")).error).toContain("qmtl.yml:1:");
    save("qmtl.yml", SOURCES);
    save("feed.csv", feed(70));
    expect((await watching.next("changed")).files).toContain(join(folder, "qmtl.yml"));
    await waitUntil(() => watching!.lines.some(({ samples }) => samples === 69), "the shorter run");

    watching.kill("SIGINT");
    expect(await watching.ended).toBe(0);
    expect(watching.lines.at(-1)).toEqual({ event: "closed" });
    expect(watching.errors).toEqual([]);
  });

  test("a run that never ends is ended by a change, and does not outlive its watcher, nor does what it started", async () => {
    const endless = (text: string) =>
      STRATEGY(
        `import { spawn } from "node:child_process";
         const child = spawn("sleep", ["600"], { stdio: "inherit" });
         console.log(process.pid, child.pid, "${text}");
         await new Promise(() => setInterval(() => {}, 1_000));`,
      );
    save("strategy.ts", endless("one"));
    watching = startWatchedCommand(folder, offline);
    const pidsOf = async (): Promise<number[]> =>
      String((await watching!.next("output")).text)
        .split(" ")
        .slice(0, 2)
        .map(Number);

    const first = await pidsOf();
    save("strategy.ts", endless("two"));
    await watching.next("ended");
    const second = await pidsOf();
    // What the run started has ended with it; the system takes a moment to remove it from its list.
    expect([first[0]!, ...second].map(isAlive)).toEqual([false, true, true]);
    await waitUntil(() => !first.some(isAlive), "the end of what the first run started");

    watching.kill("SIGKILL");
    await watching.ended;
    await waitUntil(() => !second.some(isAlive), "the end of the run");
  });
});

test("what cannot be watched ends with 2 at once", async () => {
  const run = (...args: string[]) => runInProcess("run", ...args, "--watch", "--json");
  const cases = [
    [await run(join(folder, "none.ts"), "--offline"), "no file"],
    [
      await run(join(folder, "strategy.ts"), "--offline", "--config", "none.yml"),
      "no configuration",
    ],
    [await run(join(folder, "strategy.ts"), "--world", "w", "--record", "r.jsonl"), "--record"],
    [await run(join(folder, "strategy.ts"), "--record", "r.jsonl"), "--record"],
  ] as const;

  for (const [{ exitCode, err }, message] of cases) {
    expect(exitCode).toBe(2);
    expect(JSON.parse(err[0]!).error).toContain(message);
  }
});

const slow = { timeout: 120_000 };
test(
  "in a world, a change ends the session cleanly before the next begins, and so does Ctrl-C",
  slow,
  async () => {
    // No gateway is there: the sessions wait for one as long as they run.
    save("qmtl.yml", `${SOURCES}sdk: {gateway_url: "http://127.0.0.1:1"}\n`);
    watching = startWatchedCommand(folder, [
      ...["run", "strategy.ts", "--world", "demo", "--watch", "--json"],
    ]);
    const first = await watching.next("started");

    save("period.ts", PERIOD(3));
    await watching.next("changed");
    await watching.next("status"); // printed once the session has ended by itself
    await watching.next("ended");
    await watching.next("run");
    const second = await watching.next("started");
    watching.kill("SIGINT");
    await watching.next("status");

    expect(await watching.ended).toBe(0);
    expect([first.event, second.event]).toEqual(["started", "started"]);
  },
);
