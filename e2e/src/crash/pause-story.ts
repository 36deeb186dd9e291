import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { type LongCommand, QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { type Stack, startStack } from "../harness/start-stack.ts";
import { GateObserver } from "./gate-observer.ts";
import { type DataPlace, readRecord } from "./read-record.ts";
import { postgresStorage, type StoryOptions } from "./run-story.ts";
import { writeStoryFiles } from "./story-files.ts";
import type { StoryRecord, WorldSample } from "./story-record.ts";
import { LONG_LEASE_MS, STORY_WORLD, StoryWorld } from "./story-world.ts";
import { waitFor } from "./wait-for.ts";

/** How long a process is stopped: longer than every lease of the platform, milliseconds. */
const PAUSE_MS = 20_000;

/** Bars that begin to pass before a process is stopped, and bars after it, on which each strategy must trade. */
const BARS_THROUGH = 5;
const BARS_AFTER = 12;

/** Longest wait until a runner is taken back, milliseconds. */
const BACK_MS_MAX = 30_000;

export interface PauseStoryResult {
  readonly record: StoryRecord;
  /** Who was stopped and what did not take part again; empty when all did. */
  readonly stayedOut: readonly string[];
}

/**
 * Stops the platform and then each of two runners with SIGSTOP for 20 s while bars pass, and looks after each whether
 * both runners take part again and both strategies trade. Every process here is one that a user would start.
 */
export async function runPauseStory(
  options: Omit<StoryOptions, "plan" | "onProblem">,
): Promise<PauseStoryResult> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-pauses-"));
  try {
    const config = await writeStoryFiles(folder, options.seed);
    const storage = options.dsn === undefined ? {} : await postgresStorage(folder, options.dsn);
    await using stack = await startStack({ config, ...storage });
    await using story = new PauseStory(stack, options.onStep ?? (() => {}));
    const stayedOut = await story.tell();
    const place: DataPlace =
      options.dsn === undefined
        ? { kind: "embedded", folder: join(stack.folder, "data") }
        : { kind: "postgres", dsn: options.dsn };
    return { record: await story.close(place), stayedOut };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

class PauseStory implements AsyncDisposable {
  readonly #stack: Stack;
  readonly #say: (text: string) => void;
  readonly #connection: Connection;
  readonly #world: StoryWorld;
  readonly #observer: GateObserver;
  readonly #runners: LongCommand[] = [];
  readonly #ids: string[] = [];
  readonly #samples: WorldSample[] = [];
  #bar = 0;

  constructor(stack: Stack, say: (text: string) => void) {
    this.#stack = stack;
    this.#say = say;
    this.#connection = connectTo(stack.gatewayUrl, { reconnectDelayMsMax: 200 });
    this.#world = new StoryWorld(this.#connection, new AbortController().signal);
    this.#observer = new GateObserver(this.#connection, STORY_WORLD);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.end("SIGKILL")));
    await this.#observer[Symbol.asyncDispose]();
    this.#connection.close();
  }

  async tell(): Promise<string[]> {
    await this.#world.create();
    for (const name of ["FlipWith", "FlipAgainst"]) this.#ids.push(await this.#run(name));
    await this.#world.allocate(this.#ids);
    const off: string[] = [];
    for (const to of [EffectiveMode.COMPUTE_ONLY, EffectiveMode.PAPER]) {
      if (!(await this.#world.apply(`to-${to}`, { to, on: this.#ids, off })))
        throw new Error(`the apply to ${to} was rolled back`);
      await this.#pass(1);
    }
    const stopped = [
      { who: "the platform", pid: this.#stack.process.pid },
      ...this.#runners.map(({ child }, k) => ({ who: `runner ${k + 1}`, pid: child.pid })),
    ];
    const stayedOut: string[] = [];
    for (const { who, pid } of stopped) {
      if (pid === undefined) throw new Error(`${who} does not run`);
      await this.#pause(pid);
      const out = await this.#whoIsOut();
      stayedOut.push(...out.map((text) => `${who} was stopped: ${text}`));
      this.#say(`${who} stopped for ${PAUSE_MS / 1_000} s: ${out.join("; ") || "all are back"}`);
    }
    return stayedOut;
  }

  /** Ends runners and platform and reads what they left. */
  async close(place: DataPlace): Promise<StoryRecord> {
    await this.#world.reconcile();
    await Promise.all(this.#runners.map((runner) => runner.end()));
    await this.#stack.stop();
    return {
      ...(await readRecord(place, STORY_WORLD)),
      leaseMs: LONG_LEASE_MS,
      journalTold: this.#observer.journalTold,
      sightings: this.#observer.sightings,
      samples: this.#samples,
      submissionsTold: this.#ids,
    };
  }

  /** Starts a runner of one of the story's strategies. Resolves to its strategy id once it is submitted. */
  async #run(name: string): Promise<string> {
    const qmtl = new QmtlCommand(this.#stack.configFile, this.#stack.folder);
    const file = fileURLToPath(new URL("./flip-strategy.ts", import.meta.url));
    const run = ["run", file, "--export", name, "--world", STORY_WORLD];
    const runner = qmtl.start(["--gateway-url", this.#stack.gatewayUrl, ...run]);
    this.#runners.push(runner);
    const { message } = await runner.waitFor(
      `${name} is submitted`,
      ({ event }) => event === "submitted",
    );
    return String(message).split(":")[0] ?? "";
  }

  /** Calls to a platform that is stopped have no answer in time, and are made again. */
  async #pass(bars: number): Promise<void> {
    for (let k = 0; k < bars; k++) {
      this.#bar += 1;
      const n = this.#bar;
      await waitFor(`bar ${n} passes`, () => this.#world.passBar(n).then(() => true));
    }
  }

  /** Stops a process while bars pass, lets it go on, and waits for the bars. */
  async #pause(pid: number): Promise<void> {
    const passing = this.#pass(BARS_THROUGH).catch((failure: unknown) => failure);
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.kill(pid, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    process.kill(pid, "SIGCONT");
    const failure = await passing;
    if (failure !== undefined) throw failure;
  }

  /** What does not take part although nothing is stopped any more. */
  async #whoIsOut(): Promise<string[]> {
    this.#samples.push(await this.#world.settle());
    const before = await this.#orders();
    await this.#pass(BARS_AFTER);
    const out: string[] = [];
    const after = await this.#orders();
    this.#ids.forEach((id, k) => {
      if (after[k] === before[k]) out.push(`${id} made no order on ${BARS_AFTER} bars`);
    });
    const source = { scope: { case: "source" as const, value: "flips" } };
    let seen = "";
    const isComplete = async (): Promise<true | undefined> => {
      const [feed] = (await this.#connection.client(QueueService).listFeeds({ scope: source }))
        .feeds;
      const { runners = [], passedRow = -1n } = feed ?? {};
      const ends = runners.map(({ endedRow }) => endedRow);
      seen = `row ${passedRow} passed, ended by its runners: ${ends.join()}`;
      return ends.length === this.#ids.length && ends.every((row) => row === passedRow)
        ? true
        : undefined;
    };
    await waitFor(() => `every runner takes part: ${seen}`, isComplete, {
      timeoutMs: BACK_MS_MAX,
    }).catch((failure: unknown) => out.push(String(failure)));
    const sample = await this.#world.settle();
    this.#samples.push(sample);
    for (const id of this.#ids)
      if (!sample.effectiveOnPaper.includes(id)) out.push(`${id} is not on paper`);
    return out;
  }

  /** Number of orders of each strategy. */
  #orders(): Promise<number[]> {
    const client = this.#connection.client(OrderService);
    const counts = this.#ids.map(async (strategyId) => {
      const { orders } = await client.listOrders({ filter: { strategyId }, pageSize: 1_000 });
      return orders.length;
    });
    return Promise.all(counts);
  }
}
