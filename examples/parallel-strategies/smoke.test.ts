import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { runSweep } from "@qmtl/sdk";
import { beforeAll, describe, expect, test } from "vitest";
import { runSummary, strategyNames } from "./src/run-summary.ts";
import { smaWindows, sweepInputs, sweepVariant } from "./src/sma-sweep.ts";

const main = join(import.meta.dirname, "main.ts");
const args = [main];
/** What the command of the README prints: two tables and the sweep. */
let lines: readonly string[];

beforeAll(async () => {
  const ways = ["processes", "threads", "sweep"];
  const { stdout } = await promisify(execFile)(process.execPath, [...args, ...ways]);
  lines = stdout.trimEnd().split("\n");
}, 300_000);

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("parallel strategies", () => {
  test("come to the same figures in processes, in threads and alone, to the last cent", async () => {
    const tables = [lines.slice(1, 4), lines.slice(5, 8)];
    expect([lines[0], lines[4]]).toEqual(["a process each", "a thread each"]);
    expect(tables[1]).toEqual(tables[0]);
    const readme = readFileSync(join(import.meta.dirname, "README.md"), "utf8");
    for (const line of tables[0]!) expect(readme).toContain(`\n${line}\n`);
    for (const [k, name] of strategyNames.entries()) {
      const { strategy, sharpe, orders, equity } = await runSummary(name);
      const line = tables[0]![k]!;
      expect(line).toContain(`${strategy} `);
      expect(line).toContain(` ${sharpe.toFixed(4)} `);
      expect(line).toContain(` ${orders} orders`);
      expect(line).toContain(` equity ${equity.at(-1)!.toFixed(2)}`);
    }
  }, 180_000);

  test("a sweep in threads ranks the windows as one in this thread does", async () => {
    const ranked = lines.slice(9);
    const inputs = await sweepInputs(join(import.meta.dirname, "qmtl.yml"));
    const variants = smaWindows.map((_, k) => sweepVariant(k));
    const { values, evaluations } = runSweep({ variants, inputs });
    const best = smaWindows
      .map((window, k) => ({ window, gain: values[k]![0]! }))
      .sort((a, b) => b.gain - a.gain)
      .slice(0, 5)
      .map(({ window, gain }) => `sma ${window} ${(100 * gain).toFixed(1)} %`);
    expect(ranked.map((line) => line.trim().replaceAll(/ +/g, " "))).toEqual(best);
    // The price is one node for all 24 variants; each has five of its own.
    expect(evaluations.size).toBe(1 + 24 * 5);
  }, 180_000);

  test("Ctrl-C ends the children too", async () => {
    const parent = spawn(process.execPath, [...args, "processes"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let told = "";
    const pids = await new Promise<number[]>((resolve, reject) => {
      parent.on("exit", () => reject(new Error(`ended too early: ${told}`)));
      parent.stderr.setEncoding("utf8").on("data", (text: string) => {
        told += text;
        const found = [...told.matchAll(/process (\d+) runs/g)].map(([, pid]) => Number(pid));
        if (found.length === strategyNames.length) resolve(found);
      });
    });
    const ended = new Promise((resolve) => parent.once("close", resolve));

    parent.kill("SIGINT");

    expect(await ended).toBe(130);
    expect(told).toContain("stopped by SIGINT");
    expect(pids.filter(isAlive)).toEqual([]);
  }, 180_000);
});
