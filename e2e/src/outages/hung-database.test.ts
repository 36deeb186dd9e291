import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeOwnPostgres, freePorts, waitUntil } from "@qmtl/service-kit/testing";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { type LongCommand, QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { SHORT_LIFE } from "../harness/start-stack.ts";

/** Longest time from SIGTERM to the end of the process, as documented, and some for a busy machine; milliseconds. */
const endMsMax = 20_000 + 10_000;
/** The same to the line that names what is lost: five seconds when no call is in flight. */
const lostMsMax = 5_000 + 5_000;

interface HaltLine {
  readonly halt_id: string;
  readonly stored?: boolean;
}

/** A process that runs, with what it logged. */
interface Running {
  readonly command: LongCommand;
  readonly log: () => Record<string, unknown>[];
  /** Exit code once it has ended, and how long that took, milliseconds. */
  end(): Promise<{ readonly code: number | null; readonly tookMs: number }>;
}

function watched(command: LongCommand): Running {
  let text = "";
  const { child } = command;
  child.stderr?.on("data", (chunk: string) => {
    text += chunk;
  });
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    command,
    log: () =>
      text
        .split("\n")
        .filter((line) => line.startsWith('{"level"') && line.endsWith("}"))
        .map((line): Record<string, unknown> => JSON.parse(line)),
    async end() {
      const beganMs = performance.now();
      child.kill("SIGTERM");
      return { code: await code, tookMs: performance.now() - beganMs };
    },
  };
}

describeOwnPostgres("a stop while the database hangs", (postgres) => {
  afterEach(() => postgres().goOn());

  async function project() {
    const folder = await mkdtemp(join(tmpdir(), "qmtl-hung-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const [gateway, web, dag, world] = await freePorts(4);
    await writeFile(join(folder, "dsn"), await postgres().createDatabase(), { mode: 0o600 });
    const lines = [
      `gateway: {port: ${gateway}, web_port: ${web}}`,
      `dag_manager: {port: ${dag}}`,
      `world_service: {port: ${world}}`,
      "storage: {kind: postgres, dsn: {file: dsn}}",
      "bus: {kind: direct}",
      "accounts: {main: {broker: paper, currency: USD, initial_cash: '1000'}}",
      `sdk: {gateway_url: "http://127.0.0.1:${gateway}"}`,
      "telemetry: {log_level: warn}",
    ];
    const file = join(folder, "qmtl.yml");
    await writeFile(file, lines.join("\n"));
    const env = { ...process.env, HOME: folder };
    const qmtl = new QmtlCommand(file, folder, { env, execArgv: SHORT_LIFE });
    const start = async (args: readonly string[]): Promise<Running> => {
      const running = watched(qmtl.start(args));
      await running.command.waitFor("it was ready", ({ event }) => event === "ready");
      return running;
    };
    return { qmtl, start };
  }

  test.each([
    ["up", ["up"]],
    ["service gateway", ["service", "gateway"]],
  ] as const)(
    "`qmtl %s` never ended, and lost a halt that it had answered: it ends with 1 within its limit, and its log names the halt and the command that sets it again",
    async (_, args) => {
      const { qmtl, start } = await project();
      const running = await start(args);
      postgres().hang();
      const set = ["halt", "--reason", "bad feed", "--cancel"];
      const { halt } = await qmtl.one<{ halt: HaltLine }>(...set);
      expect(halt).toMatchObject({ stored: false });

      const ending = running.end();
      const lines = () => running.log().filter(({ haltId }) => haltId === halt.halt_id);
      await waitUntil(() => lines().length === 2, { timeoutMs: lostMsMax });
      const { code, tookMs } = await ending;

      const again = 'qmtl halt --reason "bad feed" --cancel';
      expect(lines()).toMatchObject([
        { level: "warn", message: "halt not stored yet while the gateway stops", again },
        { level: "error", message: expect.stringMatching(/^halt lost: /), again },
      ]);
      expect(code).toBe(1);
      expect(tookMs).toBeLessThan(endMsMax);
    },
    120_000,
  );

  test("a database that answers again before the limit stores the halt, and the stop ends with 0", async () => {
    const { qmtl, start } = await project();
    const running = await start(["up"]);
    postgres().hang();
    const { halt } = await qmtl.one<{ halt: HaltLine }>("halt", "--reason", "bad feed");

    const ending = running.end();
    await waitUntil(() => running.log().some(({ haltId }) => haltId === halt.halt_id));
    postgres().goOn();
    const { code } = await ending;

    expect(code).toBe(0);
    expect(running.log().filter(({ message }) => String(message).startsWith("halt lost"))).toEqual(
      [],
    );
    const next = await start(["up"]);
    const halts = await qmtl.one<HaltLine[]>("halts");
    expect(halts).toMatchObject([{ halt_id: halt.halt_id, stored: true }]);
    expect((await next.end()).code).toBe(0);
  }, 120_000);
});
