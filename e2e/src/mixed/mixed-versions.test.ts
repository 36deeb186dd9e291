import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { swingerProject } from "../harness/swinger-project.ts";
import { type EarlierTree, layOutEarlierTree, whyNoEarlierTree } from "./earlier-tree.ts";

const HISTORY = 40;
const project = swingerProject(HISTORY, 20);
const why = whyNoEarlierTree();

describe.skipIf(why !== undefined)(
  `versions side by side${why === undefined ? "" : ` (${why})`}`,
  () => {
    let earlier: EarlierTree;
    beforeAll(() => {
      earlier = layOutEarlierTree();
    }, 120_000);
    afterAll(() => earlier?.[Symbol.dispose]());

    /** A folder with a configuration and a strategy, and the services, started. */
    async function opened(whose: "client" | "services") {
      await using owner = new AsyncDisposableStack();
      const folder = await mkdtemp(join(tmpdir(), "qmtl-mixed-"));
      owner.defer(() => rm(folder, { recursive: true, force: true }));
      const then = { program: earlier.program };
      const [gateway, web, dag, world] = await freePorts(4);
      const ports = `gateway: {port: ${gateway}, web_port: ${web}}\ndag_manager: {port: ${dag}}\nworld_service: {port: ${world}}`;
      const config = join(folder, "qmtl.yml");
      await writeFile(config, `${ports}\ntelemetry: {log_level: error}\n${project.config}\n`);
      await project.write(folder, ...(whose === "client" ? [earlier.modules] : []));
      const services = new QmtlCommand(config, folder, whose === "services" ? then : {});
      const client = new QmtlCommand(config, folder, whose === "client" ? then : {});
      const up = services.start(["up"]);
      owner.defer(() => up.end());
      await up.waitFor("the platform was ready", ({ event }) => event === "ready");
      const feed = ["--clock", "replay", "--source", "day", "--account", "main"];
      await client.one("world", "create", "w", ...feed, "--allocation", "0.8");
      const all = owner.move();
      return { client, [Symbol.asyncDispose]: () => all.disposeAsync() };
    }

    test("an SDK and CLI of then with the services of now: a strategy is submitted, promoted, trades and is halted", async () => {
      await using stack = await opened("client");
      const { client } = stack;
      await client.one("policy", "add", "w", "policy.yml");
      const runner = client.start(["run", "swinger.ts", "--world", "w"]);
      const submitted = await runner.waitFor("submitted", ({ event }) => event === "submitted");
      const id = /^s-[0-9a-f]{16}/.exec(String(submitted.message))?.[0] ?? "";
      await client.one("rebalance", "allocate", "--world", `w=0.8:${id}=1`, "--run", "start");
      await client.one("world", "apply", "w", "--run", "watch", "--to", "compute-only");
      const advance = (row: number) =>
        client.one("queues", "advance", "day", "--to", project.dateOf(row), "--wait");
      await advance(HISTORY + 4);
      await client.one("world", "apply", "w", "--run", "trade", "--to", "paper");
      await advance(HISTORY + 9);
      const orders = await client.one<readonly unknown[]>("orders", "--world", "w");
      await client.one("halt", "--world", "w", "--reason", "to look");
      const halts = await client.one<readonly unknown[]>("halts");
      await runner.end();

      expect(orders.length).toBeGreaterThanOrEqual(2);
      expect(halts).toHaveLength(1);
    }, 240_000);

    test("an SDK and CLI of now with the services of then: a strategy is submitted, and its run ends by saying whose version is another", async () => {
      await using stack = await opened("services");
      const { client } = stack;
      const runner = client.start(["run", "swinger.ts", "--world", "w"]);
      await runner.waitFor("submitted", ({ event }) => event === "submitted");

      const never = runner.waitFor("its end", () => false);
      await expect(never).rejects.toThrow("this runner is of another version than the gateway");
    }, 240_000);
  },
);
