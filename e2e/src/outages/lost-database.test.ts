import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { freePorts } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { SHORT_LIFE, startStack } from "../harness/start-stack.ts";

const preload = ["--import", new URL("./crash-database.preload.ts", import.meta.url).href];

/** Worlds created before the crash, and those created at once: most are under way when the first is answered. */
const BEFORE = 10;
const AT_ONCE = 200;

/** Standard error and exit code of a process that ended. */
interface End {
  readonly code: number | null;
  readonly errors: string;
}

/** Collects output from now on; resolves when the process is gone and all its output is read. */
function endOf(child: ChildProcess): Promise<End> {
  let errors = "";
  child.stderr?.on("data", (text: string) => {
    errors += text;
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, errors })));
}

/** The log lines in the output. */
const logOf = ({ errors }: End): Record<string, unknown>[] =>
  errors
    .split("\n")
    .filter((line) => line.startsWith('{"level"'))
    .map((line): Record<string, unknown> => JSON.parse(line));

const lossOf = (folder: string) => ({
  level: "error",
  message: expect.stringContaining(`the database of folder ${folder} was lost`),
  reason: "DB_UNAVAILABLE",
  why: "the database worker ended (1)",
});

test("`qmtl up` whose database crashed stayed up and answered UNAVAILABLE for ever: it ends with 3, lets its folder go, and comes back with all it had said yes to", async () => {
  await using stack = await startStack({
    execArgv: preload,
  });
  const folder = join(stack.folder, "data");
  const end = endOf(stack.process);
  const created: string[] = [];
  const refused: unknown[] = [];
  await using connection = connectTo(stack.gatewayUrl, { repeatableMethods: [] });
  const worlds = connection.client(WorldService);
  const create = async (worldId: string): Promise<void> => {
    const world = { worldId, clock: WorldClock.WALL };
    try {
      await worlds.createWorld({ world, requestId: worldId });
    } catch (failure) {
      refused.push(failure);
      return;
    }
    created.push(worldId);
    if (created.length === BEFORE + 1) stack.process.kill("SIGUSR2");
  };
  for (let at = 0; at < BEFORE; at += 1) await create(`before-${at}`);
  await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => create(`at-once-${at}`)));

  const ended = await end;

  expect(ended.code).toBe(3);
  expect(logOf(ended)).toEqual([expect.objectContaining(lossOf(folder))]);
  expect(ended.errors).toContain("start it again");
  expect(existsSync(join(folder, "lock"))).toBe(false);
  expect(created.length).toBeGreaterThan(BEFORE);
  expect(refused.length).toBeGreaterThan(0);
  for (const failure of refused) {
    expect(failure).toBeInstanceOf(QmtlError);
    expect(failure).toMatchObject({ code: Code.Unavailable, retryAfterMs: expect.any(Number) });
  }

  await stack.restart();

  await using again = stack.connect();
  const answer = await again.client(WorldService).listWorlds({ pageSize: 1_000 });
  const known = answer.worlds.map(({ worldId }) => worldId);
  expect(created.filter((id) => !known.includes(id))).toEqual([]);
}, 240_000);

test.each(["gateway", "dag-manager", "world-service"])(
  "`qmtl service %s` whose database crashed stayed up and answered UNAVAILABLE for ever: it ends with 3 and lets its folder go",
  async (service) => {
    const home = await mkdtemp(join(tmpdir(), "qmtl-lost-"));
    onTestFinished(() => rm(home, { recursive: true, force: true }));
    const [gateway, web, dag, world] = await freePorts(4);
    const ports = [
      `gateway: {port: ${gateway}, web_port: ${web}}`,
      `dag_manager: {port: ${dag}}`,
      `world_service: {port: ${world}}`,
      "telemetry: {log_level: error}",
    ];
    const configFile = join(home, "qmtl.yml");
    await writeFile(configFile, ports.join("\n"));
    const env = { ...process.env, HOME: home, NODE_OPTIONS: preload.join(" ") };
    const command = new QmtlCommand(configFile, home, { env, execArgv: SHORT_LIFE }).start([
      "service",
      service,
    ]);
    const end = endOf(command.child);
    await command.waitFor("it was ready", ({ event }) => event === "ready");

    command.child.kill("SIGUSR2");

    const ended = await end;
    const folder = join(home, ".qmtl", `data-${service}`);
    expect(ended.code).toBe(3);
    expect(logOf(ended)).toEqual([expect.objectContaining(lossOf(folder))]);
    expect(existsSync(join(folder, "lock"))).toBe(false);
  },
  120_000,
);
