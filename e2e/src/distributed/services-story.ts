import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type CommandEvent,
  CommandRefused,
  type LongCommand,
} from "../../../examples/demo/src/qmtl-command.ts";
import { swingerProject } from "../harness/swinger-project.ts";
import {
  type Service,
  type Services,
  type ServicesSetup,
  startServices,
} from "./start-services.ts";

const HISTORY = 40;
const project = swingerProject(HISTORY, 40);
const advanceTriesMax = 20;

interface OrderLine {
  readonly client_order_id: string;
  readonly row: string;
}

/**
 * Tests of three services in three processes, whatever their storage and bus: a strategy is promoted and trades, and
 * goes on after each of them was killed.
 */
export function servicesStory(setup: () => Promise<ServicesSetup>): void {
  let platform: Services;
  let runner: LongCommand;

  const call = <T = CommandEvent>(...args: string[]): Promise<T> => platform.qmtl.one<T>(...args);
  const advance = (row: number): Promise<void> => advanceTo(platform, row);
  const orders = (): Promise<OrderLine[]> => call<OrderLine[]>("orders", "--world", "w");

  beforeAll(async () => {
    const { config, ...rest } = await setup();
    platform = await startServices({ ...rest, config: `${config}\n${project.config}` });
    await project.write(platform.folder);
    const world = ["--clock", "replay", "--source", "day", "--account", "main"];
    await call("world", "create", "w", ...world, "--allocation", "0.8");
    await call("policy", "add", "w", "policy.yml");
    runner = platform.qmtl.start(["run", "swinger.ts", "--world", "w"]);
    const submitted = await runner.waitFor("submitted", ({ event }) => event === "submitted");
    const id = /^s-[0-9a-f]{16}/.exec(String(submitted.message))?.[0] ?? "";
    await call("rebalance", "allocate", "--world", `w=0.8:${id}=1`, "--run", "start");
    await call("world", "apply", "w", "--run", "watch", "--to", "compute-only");
    await advance(HISTORY + 4);
  }, 300_000);
  afterAll(async () => {
    await runner?.end();
    await platform?.[Symbol.asyncDispose]();
  });

  test("hold orders back until an apply opens the gate, then trade each row", async () => {
    expect(await orders()).toEqual([]);

    await call("world", "apply", "w", "--run", "trade", "--to", "paper");
    await advance(HISTORY + 9);

    const made = await orders();
    expect(made.length).toBeGreaterThanOrEqual(2);
    expect(new Set(made.map((order) => order.client_order_id)).size).toBe(made.length);
  }, 300_000);

  test.each<[Service, number]>([
    ["world-service", 14],
    ["dag-manager", 19],
    ["gateway", 24],
  ])(
    "go on after the %s was killed and started again",
    async (service, day) => {
      const before = await orders();

      await platform.kill(service);
      await platform.start(service);
      await advance(HISTORY + day);

      const after = await orders();
      expect(after.length).toBeGreaterThan(before.length);
      expect(after.slice(0, before.length)).toMatchObject(
        before.map(({ client_order_id, row }) => ({ client_order_id, row })),
      );
      const { reconciled } = await call<{ reconciled: boolean }>("account", "main", "--reconcile");
      expect(reconciled).toBe(true);
    },
    300_000,
  );

  test("tell each change of the gate, before and after the kills, to who asks for events", async () => {
    const told = await platform.qmtl.lines<{ revision: string }>(
      "events",
      "--topic",
      "world/w/gate",
    );

    const revisions = told.map(({ revision }) => Number(revision));
    expect(revisions.length).toBeGreaterThan(4);
    expect(revisions).toEqual(revisions.map((_, index) => index + 1));
  }, 60_000);
}

/** Advances the feed; retries, as a service that was just restarted may not lead yet. */
async function advanceTo({ qmtl }: Services, row: number): Promise<void> {
  const to = project.dateOf(row);
  for (let tries = 1; ; tries += 1) {
    try {
      await qmtl.one("queues", "advance", "day", "--to", to, "--wait", "--timeout", "60");
      return;
    } catch (failure) {
      const isUnreachable = failure instanceof CommandRefused && failure.exitCode === 3;
      if (!isUnreachable || tries === advanceTriesMax) throw failure;
    }
  }
}
