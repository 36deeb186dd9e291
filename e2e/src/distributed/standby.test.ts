import { hostname } from "node:os";
import { describeKafka, describePostgres } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type CommandEvent,
  CommandRefused,
  type LongCommand,
} from "../../../examples/demo/src/qmtl-command.ts";
import { swingerProject } from "../harness/swinger-project.ts";
import { makePairs, type Pairs } from "./start-pairs.ts";
import { type Service, services } from "./start-services.ts";

const HISTORY = 40;
const project = swingerProject(HISTORY, 60);

/** How long the leader of each service may be silent before another process takes over, milliseconds. */
const leaseMs: Readonly<Record<Service, number>> = {
  "dag-manager": 2_000,
  "world-service": 1_000,
  gateway: 2_000,
};

interface OrderLine {
  readonly client_order_id: string;
  readonly row: string;
}

interface DoctorReport {
  readonly checks: readonly { readonly name: string; readonly detail: string }[];
}

describePostgres("two processes of each service", (postgres) => {
  describeKafka("over one bus", (kafka) => {
    let pairs: Pairs;
    let runner: LongCommand;

    const call = <T = CommandEvent>(...args: string[]): Promise<T> => pairs.qmtl.one<T>(...args);
    const advance = (row: number) =>
      call("queues", "advance", "day", "--to", project.dateOf(row), "--wait", "--timeout", "60");
    const orders = (): Promise<OrderLine[]> => call<OrderLine[]>("orders", "--world", "w");
    const isLeader = ({ event }: CommandEvent): boolean => event === "leader";

    beforeAll(async () => {
      pairs = await makePairs(await postgres().createDatabase(), kafka().brokers, project.config);
      await project.write(pairs.folder);
      for (const service of services) expect(await pairs.start(service, "first")).toBe("leader");
      const world = ["--clock", "replay", "--source", "day", "--account", "main"];
      await call("world", "create", "w", ...world, "--allocation", "0.8");
      await call("policy", "add", "w", "policy.yml");
      runner = pairs.qmtl.start(["run", "swinger.ts", "--world", "w"]);
      const submitted = await runner.waitFor("submitted", ({ event }) => event === "submitted");
      const id = /^s-[0-9a-f]{16}/.exec(String(submitted.message))?.[0] ?? "";
      await call("rebalance", "allocate", "--world", `w=0.8:${id}=1`, "--run", "start");
      await call("world", "apply", "w", "--run", "watch", "--to", "compute-only");
      await advance(HISTORY + 4);
      await call("world", "apply", "w", "--run", "trade", "--to", "paper");
      await advance(HISTORY + 9);
    }, 300_000);
    afterAll(async () => {
      await runner?.end();
      await pairs?.[Symbol.asyncDispose]();
    });

    test("a second gateway on the same accounts is refused at start, with the holder's name", async () => {
      const { pid } = pairs.process("gateway", "first").child;

      const refusal = await pairs.refused("gateway", "second").catch((failure: unknown) => failure);

      expect(refusal).toBeInstanceOf(CommandRefused);
      const { exitCode, output } = refusal as CommandRefused;
      expect(exitCode).toBe(1);
      expect(output).toContain(`process ${pid} on ${hostname()}, started 20`);
      expect(output).toContain("--standby");
    }, 120_000);

    test("the second of each waits, and says so", async () => {
      const roles = [
        await pairs.start("dag-manager", "second"),
        await pairs.start("world-service", "second"),
        await pairs.start("gateway", "second", "--standby"),
      ];
      expect(roles).toEqual(["standby", "standby", "standby"]);

      const { checks } = await call<DoctorReport>("doctor");

      const found = checks.filter(({ name }) => name.endsWith(" instances"));
      const wanted = (["gateway", "dag-manager", "world-service"] as const).map(
        (service) =>
          `${pairs.urlOf(service, "first")} leads; ${pairs.urlOf(service, "second")} standby`,
      );
      expect(found.map(({ detail }) => detail)).toEqual(wanted);
    }, 120_000);

    test.each<[Service, number]>([
      ["world-service", 14],
      ["dag-manager", 19],
      ["gateway", 24],
    ])(
      "killing the %s that leads costs its lease and a second at most, and the feed goes on",
      async (service, day) => {
        const before = await orders();
        const standby = pairs.process(service, "second");

        const sinceMs = performance.now();
        await pairs.kill(service, "first");
        await standby.waitFor("it led", isLeader);
        expect(performance.now() - sinceMs).toBeLessThan(leaseMs[service] + 1_000);

        await advance(HISTORY + day);
        const after = await orders();
        expect(after.length).toBeGreaterThan(before.length);
        expect(after.slice(0, before.length)).toMatchObject(
          before.map(({ client_order_id, row }) => ({ client_order_id, row })),
        );
        expect(new Set(after.map((order) => order.client_order_id)).size).toBe(after.length);
        expect(await call("account", "main", "--reconcile")).toMatchObject({ reconciled: true });
      },
      300_000,
    );

    test("a gateway that stood still past its lease is deposed: it writes nothing more, and stands by", async () => {
      expect(await pairs.start("gateway", "first", "--standby")).toBe("standby");
      const [taker, deposed] = [
        pairs.process("gateway", "first"),
        pairs.process("gateway", "second"),
      ];
      const before = await orders();

      deposed.child.kill("SIGSTOP");
      await taker.waitFor("it led", isLeader);
      await advance(HISTORY + 29);
      deposed.child.kill("SIGCONT");
      await deposed.waitFor("it stood by", ({ event }) => event === "standby");
      await advance(HISTORY + 34);

      const after = await orders();
      expect(after.length).toBeGreaterThan(before.length);
      expect(new Set(after.map((order) => order.client_order_id)).size).toBe(after.length);
      expect(await call("account", "main", "--reconcile")).toMatchObject({ reconciled: true });
    }, 300_000);
  });
});
