import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseSessionRecord, type SessionRecordLine, sessionRecordLine } from "@qmtl/sdk/platform";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CommandEvent, QmtlCommand } from "../../examples/demo/src/qmtl-command.ts";
import { type Stack, startStack } from "./harness/start-stack.ts";
import { swingerProject } from "./harness/swinger-project.ts";

/** Rows before the feed begins. */
const HISTORY = 120;
const project = swingerProject(HISTORY, 40);

/** Records one strategy in a replay world, through paper, a rebalance and a halt, to its end. */
async function recordSession(stack: Stack, qmtl: QmtlCommand): Promise<void> {
  const { folder } = stack;
  await project.write(folder);
  const call = <T = CommandEvent>(...args: string[]): Promise<T> =>
    qmtl.one<T>("--gateway-url", stack.gatewayUrl, ...args);
  const advance = (row: number): Promise<unknown> =>
    call("queues", "advance", "day", "--to", project.dateOf(row), "--wait");
  const world = ["--clock", "replay", "--source", "day", "--account", "main"];
  await call("world", "create", "w", ...world, "--allocation", "0.8");
  await call("policy", "add", "w", "policy.yml");
  const run = ["run", "swinger.ts", "--world", "w", "--record", "records/session.jsonl"];
  const runner = qmtl.start(["--gateway-url", stack.gatewayUrl, ...run]);
  try {
    const submitted = await runner.waitFor(
      "it was submitted",
      ({ event }) => event === "submitted",
    );
    const id = /^s-[0-9a-f]{16}/.exec(String(submitted.message))?.[0] ?? "";
    await call("rebalance", "allocate", "--world", `w=0.8:${id}=1`, "--run", "start");
    await call("world", "apply", "w", "--run", "watch", "--to", "compute-only");
    await advance(HISTORY + 4);
    await call("world", "apply", "w", "--run", "trade", "--to", "paper");
    await runner.waitFor("its gate opened", ({ event }) => event === "gate_opened");
    await advance(HISTORY + 14);
    const share = ["--account", "main", "--world", `w=0.4:${id}=1`, "--batch", "less"];
    await call("rebalance", "execute", ...share, "--reason", "less of it");
    await advance(HISTORY + 20);
    await call("halt", "--world", "w", "--cancel", "--flatten", "--reason", "to see it");
    await advance(HISTORY + 24);
    await call("resume", "--world", "w", "--reason", "seen");
    await advance(HISTORY + 30);
  } finally {
    await runner.end();
  }
}

describe("a recorded session", () => {
  let stack: Stack;
  let qmtl: QmtlCommand;
  let file: string;

  beforeAll(async () => {
    stack = await startStack({ config: project.config });
    qmtl = new QmtlCommand(stack.configFile, stack.folder);
    await recordSession(stack, qmtl);
    file = join(stack.folder, "records", "session.jsonl");
  }, 300_000);
  afterAll(() => stack?.[Symbol.asyncDispose]());

  const forged = async (name: string, change: (line: SessionRecordLine) => SessionRecordLine) => {
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    const changed = lines.map((line) => change(JSON.parse(line) as SessionRecordLine));
    const path = join(stack.folder, name);
    await writeFile(path, changed.map(sessionRecordLine).join(""));
    return path;
  };

  test("makes the same orders again, offline", async () => {
    await stack.kill();

    const outcome = await qmtl.one("replay", "swinger.ts", file);

    expect(outcome).toMatchObject({ identical: true, differences: [] });
    expect(outcome.total).toBeGreaterThan(5);
    expect(outcome.same).toBe(outcome.total);
  });

  test("holds every row it decided on and the whole journal, rebalance and halt among it", async () => {
    const { header, rows, journal } = parseSessionRecord(await readFile(file, "utf8"));

    expect(header).toMatchObject({ strategy_name: "Swinger", world_id: "w", account_id: "main" });
    expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 31 }, (_, k) => HISTORY + k));
    expect(journal[0]?.entry).toBe(1);
    const ops = journal.map(({ body }) => body.op);
    expect(ops).toEqual(expect.arrayContaining(["rebalance", "flatten", "set_target"]));
  });

  test("is found out when an order was changed", async () => {
    let isDone = false;
    const path = await forged("order.jsonl", (line) => {
      if (line.type !== "journal" || isDone) return line;
      const order = line.body.order as { origin: string; lots: number } | undefined;
      if (order?.origin !== "target") return line;
      isDone = true;
      return { ...line, body: { ...line.body, order: { ...order, lots: order.lots + 1 } } };
    });

    await expect(qmtl.one("replay", "swinger.ts", path)).rejects.toMatchObject({ exitCode: 1 });
  });

  test("is found out when its bars were changed", async () => {
    const path = await forged("bars.jsonl", (line) =>
      line.type === "row" ? { ...line, values: [150, 151, 149, 150] } : line,
    );

    await expect(qmtl.one("replay", "swinger.ts", path)).rejects.toMatchObject({ exitCode: 1 });
  });
});
