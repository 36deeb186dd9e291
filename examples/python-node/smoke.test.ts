import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectTo } from "@qmtl/sdk/rpc";
import { QueueDataService, QueueService } from "@qmtl/sdk/services";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import type { FollowedProcess } from "../smoke/followed-process.ts";
import { pythonTool } from "../smoke/python-venv.ts";
import { installWheel, typeFaults, type WheelInstallation } from "../smoke/python-wheel.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

/** Closes of the file by row, and the row of a date. */
async function readFileRows() {
  const text = await readFile(new URL("../data/sp500.csv", import.meta.url), "utf8");
  const lines = text.trim().split("\n").slice(1);
  const rows = lines.map((line) => line.split(","));
  return {
    bars: rows.map((row) => row.slice(1, 5).map(Number)),
    closes: rows.map((row) => Number(row[4])),
    rowOf: (date: string) => rows.findIndex(([day]) => day === date),
  };
}

/** Rows of a queue as its log has them, in the order of the log. */
async function rowsOf(gatewayUrl: string, computeKey: string) {
  await using connection = connectTo(gatewayUrl);
  const data = connection.client(QueueDataService);
  const rows: { row: number; values: number[] }[] = [];
  for await (const { records } of data.consume({ keys: [{ computeKey }], historyOnly: true })) {
    for (const { body } of records) {
      if (body.case !== "rows") continue;
      const { row, count, columns } = body.value;
      for (let at = 0; at < count; at += 1) {
        const values = columns.map((column) => Buffer.from(column).readDoubleLE(8 * at));
        rows.push({ row: Number(row) + at, values });
      }
    }
  }
  return rows;
}

async function queuesOf(gatewayUrl: string) {
  await using connection = connectTo(gatewayUrl);
  const { queues } = await connection.client(QueueService).listQueueStats({});
  return queues.map(({ queue, voidRecords, holderSessionId }) => ({
    name: queue?.queue ?? "",
    computeKey: queue?.computeKey ?? "",
    voidRecords,
    holderSessionId,
  }));
}

describeWithTool(
  "a compute node in Python, written from the protocol page",
  pythonTool(),
  (tools) => {
    let folder: string;
    let installed: WheelInstallation;
    let example: ExampleProject;
    let platform: FollowedProcess;
    let node: FollowedProcess;
    let file: Awaited<ReturnType<typeof readFileRows>>;

    const expectedMomentum = (row: number) => file.closes[row]! / file.closes[row - 3]! - 1;
    const expectedWeight = (row: number) => (expectedMomentum(row) > 0 ? 1 : 0);

    beforeAll(async () => {
      file = await readFileRows();
      folder = await mkdtemp(join(tmpdir(), "qmtl-node-"));
      const requirements = join(import.meta.dirname, "requirements.txt");
      installed = await installWheel(tools, folder, ["-r", requirements]);
      example = await openExample("python-node", installed.terminal);
      const up = "npx qmtl up                                        # stays";
      platform = example.typeStaying(up);
      await platform.waitFor(/ready/);
      await example.type(
        "npx qmtl world create gated --clock replay --source sp500 --account main",
      );
      await example.type("npx qmtl policy add gated policy.yml");
      node = example.typeStaying(
        "python main.py --gateway 127.0.0.1:7400 --world gated --file ../data/sp500.csv   # stays",
      );
      await node.waitFor(/the feed waits for this node/);
    });
    afterAll(async () => {
      await example?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    test("has types: it is clean under mypy --strict", async () => {
      const options = ["--strict", "--config-file", join(import.meta.dirname, "mypy.ini")];
      const cache = ["--cache-dir", join(folder, "mypy")];
      const main = join(import.meta.dirname, "main.py");

      expect(await typeFaults(tools, installed.python, main, [...options, ...cache])).toBe("");
    });

    test("makes the ids that the page states", async () => {
      const page = await readFile(new URL("../../docs/protocol.md", import.meta.url), "utf8");
      const hashes = (await example.type("python identity.py")).trim().split(/\s+/);

      expect(hashes).toHaveLength(5);
      for (const hash of hashes) expect(page).toContain(hash);
    });

    test("is promoted to paper by the swap of contexts, and its targets trade", async () => {
      await example.type("npx qmtl queues advance sp500 --to 2015-01-15 --wait");
      await example.type("npx qmtl world apply gated --run first --to compute-only");
      const applied = await example.type("npx qmtl world apply gated --run second --to paper");
      await example.type("npx qmtl queues advance sp500 --to 2015-02-05 --wait");
      await node.waitFor(/gate +opened: orders may leave \(paper\)(\s+target.*){4}/);

      expect(applied.match(/^\w+/gm)).toEqual(["freezing", "switched", "unfrozen", "completed"]);
      expect(node.output()).toMatch(/swap +rows come from the new context from row 3784 on/);
    });

    test("goes on after a kill of the platform in the middle of the rows: none is missing, none is there twice", async () => {
      await example.type("npx qmtl queues advance sp500 --to 2015-06-30");
      await node.waitFor(/\(row 38[23]\d\)/);
      await platform.end("SIGKILL");
      await node.waitFor(/lost the gateway/);
      const again = "npx qmtl up                                        # stays, again";
      platform = example.typeStaying(again);
      await platform.waitFor(/ready/);
      await node.waitFor(/connected again/);
      await example.type("npx qmtl queues advance sp500 --to 2015-07-31 --wait");
      await example.type("npx qmtl queues list");

      const first = file.rowOf("2015-01-02");
      const last = file.rowOf("2015-07-31");
      const queues = await queuesOf(example.gatewayUrl);
      expect(queues).toHaveLength(5);
      expect(queues.map(({ voidRecords }) => Number(voidRecords))).toEqual([0, 0, 0, 0, 0]);
      for (const { name, computeKey, holderSessionId } of queues) {
        const rows = await rowsOf(example.gatewayUrl, computeKey);
        const end = name.includes(".backtest.") ? rows.at(-1)!.row : last;
        const valuesAt = (row: number): number[] => {
          if (name.includes("streaminput")) return file.bars[row]!;
          return [name.includes("positiontarget") ? expectedWeight(row) : expectedMomentum(row)];
        };
        const expected = Array.from({ length: end - first + 1 }, (_, at) => first + at);
        expect(rows, name).toEqual(expected.map((row) => ({ row, values: valuesAt(row) })));
        // The old context was given up once the new one was in force.
        expect(holderSessionId === "", name).toBe(name.includes(".backtest."));
        expect(end, name).toBeGreaterThanOrEqual(file.rowOf("2015-01-15"));
      }
    });

    test("sent one order for each change of its target, also for those around the kill", async () => {
      const promoted = file.rowOf("2015-01-15");
      const last = file.rowOf("2015-07-31");
      const changes = [];
      for (let row = promoted + 1; row <= last; row += 1) {
        if (expectedWeight(row) !== expectedWeight(row - 1)) changes.push(row);
      }

      const listed = await example.type("npx qmtl orders --world gated");
      const orders = [...listed.matchAll(/^q\w+ +s-\w+ +(\d+) +(-?)[\d.]+ .* target +\d+$/gm)];
      expect(orders.map(([, row]) => Number(row))).toEqual(changes);
      expect(orders.map(([, , sign]) => sign === "")).toEqual(
        changes.map((row) => expectedWeight(row) === 1),
      );
      expect(changes.length).toBeGreaterThan(20);
    });

    test("gives back what it holds when it is stopped", async () => {
      const { exitCode, stdout } = await node.end("SIGINT");

      expect(exitCode).toBe(0);
      expect(stdout).toMatch(/stopped\n$/);
      const queues = await queuesOf(example.gatewayUrl);
      expect(queues.filter(({ holderSessionId }) => holderSessionId !== "")).toEqual([]);
      expect(example.untyped()).toEqual([]);
    });
  },
);
