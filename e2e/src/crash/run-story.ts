import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectTo } from "@qmtl/sdk/rpc";
import { type Stack, startStack } from "../harness/start-stack.ts";
import { Deeds } from "./deeds.ts";
import { GateObserver } from "./gate-observer.ts";
import type { Kill } from "./kill-plan.ts";
import { Life } from "./life.ts";
import { type DataPlace, readRecord } from "./read-record.ts";
import { writeStoryFiles } from "./story-files.ts";
import type { StoryRecord } from "./story-record.ts";
import { StoryRunners } from "./story-runners.ts";
import { LONG_LEASE_MS, STORY_WORLD } from "./story-world.ts";

export interface StoryOptions {
  /** Seed of prices and random deaths. */
  readonly seed: number;
  /** The deaths, in order. */
  readonly plan: readonly Kill[];
  /** Connection string of an empty database. @default an embedded one */
  readonly dsn?: string;
  /** Called with each death as it happens, and with what went wrong before it. */
  readonly onStep?: (text: string) => void;
  /** Called with problems the strategies report: outages that heal by themselves. */
  readonly onProblem?: (text: string) => void;
}

/** A death: the failpoint, or `random` for a SIGKILL from outside. */
interface Death {
  readonly point: string;
  /** False when the platform did not reach the failpoint in time, and was killed from outside. */
  readonly isReached: boolean;
}

export interface Story {
  readonly record: StoryRecord;
  readonly deaths: readonly Death[];
}

/** Longest wait for an armed failpoint, milliseconds; its deed is repeated meanwhile. */
const POINT_MS_MAX = 240_000;

/**
 * Submits two strategies, promotes them to paper and lets bars pass, while the platform dies again and again; then
 * stops it and reads what it left. The same seed plans the same deaths; the races are the machine's own.
 */
export async function runStory(options: StoryOptions): Promise<Story> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-story-"));
  try {
    const config = await writeStoryFiles(folder, options.seed);
    const storage = options.dsn === undefined ? {} : await postgresStorage(folder, options.dsn);
    await using stack = await startStack({ config, ...storage });
    await using reporter = new StoryReporter(stack, options);
    await reporter.tell();
    return await reporter.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** PostgreSQL storage whose connection string is in a file: the configuration takes secrets by reference only. */
export async function postgresStorage(folder: string, dsn: string): Promise<{ storage: string }> {
  const file = join(folder, "dsn");
  await writeFile(file, dsn, { mode: 0o600 });
  return { storage: `{kind: postgres, dsn: {file: ${file}}}` };
}

class StoryReporter implements AsyncDisposable {
  readonly #stack: Stack;
  readonly #options: StoryOptions;
  readonly #open = new AsyncDisposableStack();
  readonly #observer: GateObserver;
  readonly #runners: StoryRunners;
  readonly #deeds: Deeds;
  readonly #deaths: Death[] = [];

  constructor(stack: Stack, options: StoryOptions) {
    this.#stack = stack;
    this.#options = options;
    const watching = this.#open.use(connectTo(stack.gatewayUrl, { reconnectDelayMsMax: 200 }));
    this.#observer = this.#open.use(new GateObserver(watching, STORY_WORLD));
    this.#runners = this.#open.use(
      new StoryRunners(stack.configFile, stack.gatewayUrl, (text) => options.onProblem?.(text)),
    );
    this.#deeds = new Deeds(this.#runners);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#open.disposeAsync();
  }

  async tell(): Promise<void> {
    const first = new Life(this.#stack);
    await using _ = first;
    await this.#deeds.begin(first);
    for (const kill of this.#options.plan) {
      const isReached = await this.#die(kill);
      const point = kill.failpoint ?? "random";
      this.#deaths.push({ point, isReached });
      this.#options.onStep?.(`${kill.deed} ${point}${isReached ? "" : " (not reached)"}`);
    }
  }

  /** Waits for what is under way, stops everything and reads what it left. */
  async close(): Promise<Story> {
    const life = await Life.next(this.#stack);
    await using _ = life;
    if (life === undefined) throw new Error("the platform did not come back");
    await this.#runners.allTold();
    for (let k = 0; k < 2; k++) await this.#deeds.rest(life);
    await life.world.reconcile();
    await this.#runners[Symbol.asyncDispose]();
    await this.#stack.stop();
    const { dsn } = this.#options;
    const place: DataPlace =
      dsn === undefined
        ? { kind: "embedded", folder: join(this.#stack.folder, "data") }
        : { kind: "postgres", dsn };
    const stored = await readRecord(place, STORY_WORLD);
    const record: StoryRecord = {
      ...stored,
      leaseMs: LONG_LEASE_MS,
      journalTold: this.#observer.journalTold,
      sightings: this.#observer.sightings,
      samples: this.#deeds.samples,
      submissionsTold: this.#runners.told,
    };
    return { record, deaths: this.#deaths };
  }

  /** One life from start to death; true when it died as planned. */
  async #die({ deed, failpoint, afterMs }: Kill): Promise<boolean> {
    const life = await Life.next(this.#stack, failpoint);
    if (life === undefined) return true;
    await using _ = life;
    if (failpoint !== undefined) {
      const deadline = performance.now() + POINT_MS_MAX;
      while (!life.isOver && performance.now() < deadline) {
        await this.#try(life, async () => {
          if (deed !== "resume") await this.#arrive(life);
          await this.#deeds.do(deed, life);
        });
      }
      const isReached = life.isOver;
      await this.#stack.kill();
      return isReached;
    }
    await this.#try(life, () => this.#arrive(life));
    const doing = this.#try(life, () => this.#deeds.do(deed, life));
    await Promise.race([doing, life.end(afterMs)]);
    await this.#stack.kill();
    await doing;
    return true;
  }

  /** Brings the world to rest with both strategies on paper: every deed begins there. */
  async #arrive(life: Life): Promise<void> {
    await this.#deeds.rest(life);
    if (this.#deeds.isPromoted) return;
    await this.#deeds.do("promote", life);
    await this.#deeds.rest(life);
  }

  /** Ignores failures of a dying platform and refusals: if they are wrong, the record shows it. */
  async #try(life: Life, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (failure) {
      if (!life.isOver) this.#options.onStep?.(`  on the way: ${String(failure)}`);
      await life.end(20);
    }
  }
}
