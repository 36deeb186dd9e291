import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Answer,
  type LongAnswer,
  makeNewMachine,
  type NewMachine,
  repository,
} from "./new-machine.ts";
import { installedPackages, packedNodes } from "./packed-packages.ts";
import { type SeedLine, seedCommands } from "./seed-commands.ts";
import { ADAPTER, GAP, GAP_TEST, INTENT, ORDERS, SESSION } from "./walk-strategies.ts";

const runFile = promisify(execFile);
/** Longest step, milliseconds. Steps run whole programs; on an idle machine they take a tenth of this. */
const stepMsMax = 600_000;
const project = "app/my_qmtl_project";
/** The settings of the guide's section 4a, as environment variables. */
const VERSION_2 =
  "QMTL__WORLD_SERVICE__COMPAT_REBALANCE_V2=true QMTL__WORLD_SERVICE__ALPHA_METRICS_REQUIRED=true QMTL__GATEWAY__REBALANCE_SCHEMA_VERSION=2";

describe("the workflow guide, walked in an empty HOME", { timeout: stepMsMax }, () => {
  let machine: NewMachine;
  const typed = new Set<string>();
  let lonely: LongAnswer | undefined;
  let parallel: LongAnswer | undefined;
  let platform: LongAnswer | undefined;
  const at = (file: string): string => join(machine.folder, project, file);

  /** Types the line for a command of the guide, and expects exit code 0. */
  async function seed(line: SeedLine, where: string = project): Promise<Answer> {
    const answer = await machine.type(line, where);
    typed.add(line);
    expect(answer.exitCode, `${line}\n${answer.stdout}\n${answer.stderr}`).toBe(0);
    return answer;
  }
  /** Starts lines that keep running, each in a terminal of its own; presses Ctrl-C in each when `work` is done. */
  async function meanwhile(
    lines: readonly string[],
    where: string,
    work: () => Promise<void>,
  ): Promise<void> {
    const left = lines.map((line) => machine.leave(line, where));
    for (const line of lines) typed.add(line);
    try {
      await Promise.all(left.map((each) => each.shows("ready at")));
      await work();
    } finally {
      await Promise.all(left.map((each) => each.interrupt()));
    }
  }
  /** Repeats a line until the gateway has found a service that was started after it. */
  async function patiently(line: string, where: string): Promise<string> {
    for (let tries = 1; ; tries += 1) {
      const { exitCode, stdout, stderr } = await machine.type(line, where);
      if (exitCode === 3 && tries < 20) continue;
      expect(exitCode, `${line}\n${stderr}`).toBe(0);
      return stdout;
    }
  }
  /** Runs `qmtl …` in the project; gives its standard output, or standard error when a failure is expected. */
  async function qmtl(line: string, exitCode = 0): Promise<string> {
    const answer = await machine.type(`node_modules/.bin/qmtl ${line}`, project);
    expect(answer.exitCode, `${line}\n${answer.stdout}\n${answer.stderr}`).toBe(exitCode);
    return exitCode === 0 ? answer.stdout : answer.stderr;
  }
  const json = async (line: string, exitCode = 0) =>
    JSON.parse(await qmtl(`${line} --json`, exitCode));

  beforeAll(async () => {
    machine = await makeNewMachine();
    // Makes the packages that publishing would put into the registry.
    const pack = [join(repository, ".ci/pack.ts"), "--out", join(machine.folder, "packages")];
    await runFile(process.execPath, pack, { maxBuffer: 1 << 26 });
  }, stepMsMax);
  afterAll(async () => machine?.[Symbol.asyncDispose]());

  test("0: installing is one command, and the machine's own Node is enough", async () => {
    await machine.type("mkdir app");
    await seed("npm init -y", "app");
    await seed("npm install ../packages/*.tgz", "app");

    expect((await machine.type("npx qmtl --version", "app")).stdout).toBe("0.1.0\n");
  });

  installedPackages(() => machine);

  test("1: presets and old templates are listed, a project is made with its data", async () => {
    const lists = await seed("npx qmtl project list-presets --show-legacy-templates", "app");
    const made = await seed(
      "npx qmtl project init --path my_qmtl_project --strategy branching --with-sample-data --packages ../packages",
      "app",
    );
    await seed("cd my_qmtl_project && npm install", "app");

    expect(lists.stdout).toMatch(/^production /m);
    expect(lists.stdout).toMatch(/^branching /m);
    expect(made.stdout).toContain("next: cd my_qmtl_project && npm install && npm start");
  });

  test("2: the scaffold runs offline at once, with or without a word about it", async () => {
    const listing = await seed("ls -R . | head -40");
    const started = await seed("npm start");
    const plain = await seed("npx qmtl run strategy.ts");

    for (const each of ["generators", "indicators", "transforms", "qmtl.yml", "strategy.ts"])
      expect(listing.stdout).toMatch(new RegExp(`^${each}$`, "m"));
    const metrics =
      /^Branching: 784 returns, \d+ orders\n {2}sharpe +[\d.]+ +a year of 252 bars, zero rate$/m;
    expect(started.stdout).toMatch(metrics);
    expect(plain.stdout).toMatch(metrics);
  });

  packedNodes(() => machine);

  test("1, 2: every other template starts as this one does", async () => {
    const dependencies = async (folder: string) => {
      const { dependencies, devDependencies, optionalDependencies } = JSON.parse(
        await readFile(join(machine.folder, folder, "package.json"), "utf8"),
      );
      return { dependencies, devDependencies, optionalDependencies };
    };
    const { templates } = JSON.parse(
      (await machine.type("npx qmtl project list-presets --show-legacy-templates --json", "app"))
        .stdout,
    ) as { templates: { name: string }[] };
    const others = templates.map(({ name }) => name).filter((name) => name !== "branching");

    for (const name of others) {
      const made = `npx qmtl project init --path ${name} --strategy ${name} --packages ../packages`;
      await machine.type(made, "app");
      // Uses the packages already installed: `npm install` would bring the same, as all projects depend on the same.
      expect(await dependencies(`app/${name}`)).toEqual(await dependencies(project));
      await machine.type(`ln -s ../my_qmtl_project/node_modules ${name}/node_modules`, "app");
      const { stdout, stderr } = await machine.type("npm start", `app/${name}`);
      expect(stdout, stderr).toMatch(/^\w+: 784 returns, [1-9]\d* orders\n {2}sharpe /m);
    }
    expect(others).toHaveLength(6);
  });

  test("2a: reinstalling mends what was mixed up, and the doctor says so", async () => {
    const manifest = join(machine.folder, project, "node_modules/@qmtl/sdk/package.json");
    const text = await readFile(manifest, "utf8");
    await writeFile(manifest, text.replace('"version": "0.1.0"', '"version": "0.0.9"'));

    const sick = await machine.type("npx qmtl doctor", project);
    await machine.type("rm -r node_modules/@qmtl", project);
    await seed("npm install && npx qmtl doctor --json");

    expect(sick.exitCode).toBe(1);
    expect(sick.stdout + sick.stderr).toMatch(/npm (install|ci|dedupe)/);
  });

  test("3: a node of one's own is a file in a folder of the project, tested beside", async () => {
    await writeFile(at("indicators/gap.ts"), GAP);
    await writeFile(at("tests/gap.test.ts"), GAP_TEST);

    const { stdout } = await seed("npm test");

    expect(stdout).toMatch(/Test Files +5 passed/);
    expect(await json("config explain gateway.port")).toMatchObject({
      value: machine.ports[0],
      default: 7400,
      origin: "QMTL__GATEWAY__PORT",
    });
  });

  test("3a: intents alone are a strategy, bound inside or from outside", async () => {
    await writeFile(at("intent.ts"), INTENT);
    await writeFile(at("adapted.ts"), ADAPTER);

    const intent = await json("run intent.ts --offline");
    const adapted = await json("run adapted.ts --offline");

    const { orders } = intent;
    expect(orders).toBeGreaterThan(0);
    expect(adapted).toMatchObject({ orders });
  });

  test("4: the services start as they are printed, with nothing set up, and find each other", async () => {
    const lines = ["gateway", "dagmanager server", "world-service"].map(
      (service) => `npx qmtl service ${service}`,
    );
    // No configuration anywhere near.
    await meanwhile(lines, "app", async () => {
      expect(await patiently("npx qmtl world create first", "app")).toContain("first made");
    });
    expect((await machine.type("stat -c %a ../home/.local/state/qmtl/*", "app")).stdout).toBe(
      "600\n",
    );

    const configured = lines.map((line) => `${line} --config qmtl.yml`);
    await meanwhile(configured, project, async () => {
      const world = "--clock replay --source bars --account main";
      await patiently(`npx qmtl world create services ${world}`, project);
    });
  });

  test("4: the sample of separate processes starts as it is printed, and keeps what there was", async () => {
    const guide = await readFile(join(repository, "docs/workflow.md"), "utf8");
    const lines = guide.match(/^npx qmtl service .*backend_stack.*$/gm) ?? [];

    expect(lines).toHaveLength(3);
    await meanwhile(lines, project, async () => {
      const worlds = await patiently("npx qmtl world list --json", project);
      expect(JSON.parse(worlds)).toMatchObject([{ world_id: "services" }]);
      expect(await patiently("npx qmtl queues replay bars", project)).toContain("bars");
    });
  });

  test("4: a run without a platform computes nothing that could be traded, says what to do, and goes on when there is one", async () => {
    const url = `http://127.0.0.1:${machine.ports[0]}`;
    const first = machine.leave("npx qmtl up", project);
    await first.shows("ready");
    await qmtl("world create paper --clock replay --source bars --account main");
    await qmtl("policy add paper templates/policy.example.yml");
    await first.interrupt();

    lonely = machine.leave(`npx qmtl run strategy.ts --world paper --gateway-url ${url}`, project);
    await lonely.shows(/--gateway-url|qmtl up/);
    platform = machine.leave(`${VERSION_2} npx qmtl up`, project);
    await platform.shows("ready");
    await lonely.shows(/submitted +s-[0-9a-f]{16}: 7 new nodes, 0 reused/);
    parallel = machine.leave("npx qmtl run intent.ts --world paper", project);
    await parallel.shows(/submitted +s-[0-9a-f]{16}: \d+ new nodes, [1-9]\d* reused/);

    const decision = await json("world decide paper");
    expect(decision).toMatchObject({
      effective_mode: "EFFECTIVE_MODE_VALIDATE",
      execution_domain: "EXECUTION_DOMAIN_BACKTEST",
    });
    await qmtl("queues advance bars --to 2021-01-29 --wait");
    expect(await json("orders --world paper")).toEqual([]);
  });

  test("4: the world's decision opens the gates, and every watcher sees it", async () => {
    await qmtl("world apply paper --run up-1 --to compute-only");
    await qmtl("world apply paper --run up-2 --to paper");

    const decision = await json("world decide paper");
    expect(decision).toMatchObject({
      effective_mode: "EFFECTIVE_MODE_PAPER",
      execution_domain: "EXECUTION_DOMAIN_DRYRUN",
    });
    await qmtl("queues advance bars --to 2021-03-31 --wait");
    expect((await json("orders --world paper")).length).toBeGreaterThan(0);
    expect(await qmtl("events --topic world/paper/gate")).toMatch(/unfreeze +fence 3/);
    expect(await qmtl("explain paper Branching")).toContain("It is paper");
  });

  test("4a: intents become a plan, the plan orders, first as a dry run", async () => {
    const plan =
      "rebalance plan --account main --world paper=0.5:Branching=0.5,IntentFirstStrategy=0.5";

    const early = JSON.parse(await qmtl(`${plan} --schema-version 1 --json`, 1));
    const made = await json(`${plan} --schema-version 2`);
    await writeFile(at("orders.ts"), ORDERS);
    const orders = await machine.type("npx node orders.ts", project);
    const execute = `${plan.replace("plan", "execute")} --batch move-1 --reason moved`;
    const before = await json("orders --world paper");
    const done = await json(`${execute} --schema-version 2`);
    const again = await json(`${execute} --schema-version 2`);
    const after = await json("orders --world paper");

    expect(early).toMatchObject({ reason: "SCHEMA_VERSION_REQUIRED" });
    expect(Object.keys(made.plan.alpha_metrics.per_strategy)).toHaveLength(2);
    expect(orders.stderr).toBe("");
    const planned = JSON.parse(orders.stdout);
    expect(planned.length).toBeGreaterThan(0);
    expect(planned[0]).toMatchObject({ worldId: "paper", instrument: "DEMO", reduceOnly: true });
    expect([done.duplicate, again.duplicate]).toEqual([false, true]);
    expect(after.length).toBe(before.length + planned.length);
  });

  test("5: a run ends with its scope, or by a helper that may be called twice", async () => {
    await writeFile(at("session.ts"), SESSION);

    const { stdout, stderr, exitCode } = await machine.type("npx node session.ts", project);

    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toBe("session true\nrun true\nnothing is left running\n");
  });

  test("5: test mode shortens every wait, and says so", async () => {
    const { stdout } = await machine.type(
      "QMTL__TEST__TEST_MODE=true npx qmtl config explain sdk.request_timeout_ms --json",
      project,
    );

    expect(JSON.parse(stdout)).toMatchObject({
      value: 1500,
      default: 2000,
      origin: "test.test_mode",
    });
  });

  test("6: before a deployment all is checked and backed up", async () => {
    await lonely?.interrupt();
    await parallel?.interrupt();
    await platform?.interrupt();

    await qmtl("backup --out before.qmtl-backup");
    const verified = await json("backup --verify before.qmtl-backup");
    await qmtl("config validate --offline");
    await qmtl("project validate");

    expect(verified).toMatchObject({ tables: expect.anything() });
  });

  test("5: packing and checking go side by side", async () => {
    const { stdout } = await seed("(npm pack & npm run typecheck && wait)");

    expect(stdout).toContain("my_qmtl_project-0.1.0.tgz");
  });

  test("every command of the guide has been typed", () => {
    expect(seedCommands.map(({ here }) => here).filter((line) => !typed.has(line))).toEqual([]);
  });
});
