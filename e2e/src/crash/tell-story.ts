import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { loadConfig, type OnlineSession, Runner } from "@qmtl/sdk";
import { type Stack, startStack } from "../harness/start-stack.ts";
import { FlipAgainst, FlipWith } from "./flip-strategy.ts";
import { GateObserver } from "./gate-observer.ts";
import { type Kill, planKills } from "./kill-plan.ts";
import { type DataPlace, readRecord } from "./read-record.ts";
import { writeStoryFiles } from "./story-files.ts";
import type { StoryRecord, WorldSample } from "./story-record.ts";
import { STORY_TIMERS, STORY_WORLD, StoryWorld } from "./story-world.ts";
import { waitFor } from "./wait-for.ts";

export interface StoryOptions {
  readonly seed: number;
  readonly kills: number;
  /** First card of the deck of failpoints. @default 0 */
  readonly offset?: number;
  /** Connection string of an empty database. @default an embedded one */
  readonly dsn?: string;
  /** Told of each death as it happens. */
  readonly onKill?: (text: string) => void;
  /** Told of each step, to follow a story. */
  readonly onStep?: (text: string) => void;
}

export interface Story {
  readonly record: StoryRecord;
  /** How each death went: `failpoint`, or `random` for a SIGKILL from outside. */
  readonly deaths: readonly { readonly point: string; readonly isReached: boolean }[];
}

/** A submission that a dead worker owned is taken up when its ownership has run out. */
const SUBMITTED_MS_MAX = 90_000;

/** After a deed is done, its failpoint may still be reached in this time. */
const SPARED_MS = 1_500;

/** Longest wait for a deed whose platform died. */
const DOING_MS_MAX = 1_000;

/** Longest wait for an armed failpoint before the platform is killed from outside instead. */
const POINT_MS_MAX = 20_000;

/**
 * Submits two strategies, promotes them to paper and lets bars pass, while the platform dies again and again; then
 * stops it and reads what it left. The same seed plans the same deaths; the races are the machine's own.
 */
export async function tellStory(options: StoryOptions): Promise<Story> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-story-"));
  try {
    const config = await writeStoryFiles(folder, options.seed);
    const storage = options.dsn === undefined ? {} : await postgresStorage(folder, options.dsn);
    await using stack = await startStack({ config, ...storage });
    await using teller = new StoryTeller(stack, options);
    await teller.tell(planKills(options.seed, options.kills, options.offset ?? 0));
    return await teller.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A secret is given by reference. */
async function postgresStorage(folder: string, dsn: string): Promise<{ storage: string }> {
  const file = join(folder, "dsn");
  await writeFile(file, dsn);
  return { storage: `{kind: postgres, dsn: {file: ${file}}}` };
}

class StoryTeller implements AsyncDisposable {
  readonly #stack: Stack;
  readonly #options: StoryOptions;
  readonly #world: StoryWorld;
  readonly #observer: GateObserver;
  readonly #open = new AsyncDisposableStack();
  readonly #samples: WorldSample[] = [];
  readonly #told: string[] = [];
  readonly #deaths: { point: string; isReached: boolean }[] = [];
  readonly #runners: OnlineSession[] = [];
  #bar = 0;
  #run = 0;
  #isSecondOn = true;

  constructor(stack: Stack, options: StoryOptions) {
    this.#stack = stack;
    this.#options = options;
    const connection = this.#open.use(stack.connect());
    this.#world = new StoryWorld(connection);
    this.#observer = new GateObserver(this.#open.use(stack.connect()), STORY_WORLD);
    this.#open.use(this.#observer);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#open.disposeAsync();
  }

  async tell(plan: readonly Kill[]): Promise<void> {
    await this.#world.create();
    const submits = plan.filter((kill) => kill.deed === "submit");
    for (const [k, strategy] of [FlipWith, FlipAgainst].entries()) {
      const kill = submits[k];
      const submit = async (): Promise<void> => {
        const before = this.#told.length;
        const config = loadConfig({ path: this.#stack.configFile });
        const run = await Runner.run(strategy, {
          worldId: STORY_WORLD,
          config,
          gatewayUrl: this.#stack.gatewayUrl,
          onEvent: ({ kind, message }) => {
            if (kind === "submitted") this.#told.push(message.split(":")[0] ?? "");
          },
        });
        this.#runners.push(this.#open.use(run));
        await waitFor("submitted", async () => (this.#told.length > before ? true : undefined));
      };
      if (kill === undefined) await submit();
      else await this.#dieDuring(kill, submit);
    }
    await waitFor(
      "both strategies are submitted",
      async () => (new Set(this.#told).size === 2 ? true : undefined),
      SUBMITTED_MS_MAX,
    );
    this.#say("allocate");
    await this.#world.allocate([...new Set(this.#told)]);
    await this.#applyNow(EffectiveMode.COMPUTE_ONLY);
    await this.#passBar();
    this.#say("first bar passed");
    await this.#applyNow(EffectiveMode.PAPER);
    this.#say("on paper");
    await this.#passBar();
    for (const kill of plan.slice(submits.length))
      await this.#dieDuring(kill, () => this.#live(kill));
    await this.#restart({});
  }

  /** What happens between two deaths: the world comes to rest, orders leave and fill, then the deed. */
  async #live(kill: Kill): Promise<void> {
    this.#samples.push(await this.#world.settle());
    await this.#passBar();
    await this.#deed(kill);
  }

  /** Lets what is under way end, stops everything and reads what it left. */
  async close(): Promise<Story> {
    this.#samples.push(await this.#world.settle());
    for (let k = 0; k < 2; k++) await this.#passBar();
    await this.#world.reconcile();
    for (const run of this.#runners) await run.stop();
    await this.#stack.stop();
    const { dsn } = this.#options;
    const place: DataPlace =
      dsn === undefined
        ? { kind: "embedded", folder: join(this.#stack.folder, "data") }
        : { kind: "postgres", dsn };
    const stored = await readRecord(place, STORY_WORLD);
    const record: StoryRecord = {
      ...stored,
      leaseMs: STORY_TIMERS.leaseMs,
      journalTold: this.#observer.journalTold,
      sightings: this.#observer.sightings,
      samples: this.#samples,
      submissionsTold: [...new Set(this.#told)],
    };
    return { record, deaths: this.#deaths };
  }

  async #deed({ deed }: Kill): Promise<void> {
    if (deed === "bar") return this.#passBar();
    if (deed === "freeze") {
      await this.#world.freeze();
      await this.#world.settle();
      return;
    }
    if (deed === "cancel") {
      const apply = this.#applyOther();
      await Promise.all([apply, this.#cancelUntilDone(`run-${this.#run}`)]);
      return;
    }
    await this.#applyOther();
    await this.#passBar();
  }

  #passBar(): Promise<void> {
    this.#bar += 1;
    return this.#world.passBar(this.#bar);
  }

  /** An apply that switches the second strategy off, or on again. */
  async #applyOther(): Promise<void> {
    const gate = await this.#world.gate();
    const active = new Set(
      gate.activations.filter((one) => one.active).map((one) => one.strategyId),
    );
    const [, second = ""] = [...new Set(this.#told)];
    this.#isSecondOn = !active.has(second);
    this.#run += 1;
    const [on, off] = this.#isSecondOn ? [[second], []] : [[], [second]];
    await this.#world.apply(`run-${this.#run}`, EffectiveMode.PAPER, on, off);
  }

  async #cancelUntilDone(runId: string): Promise<void> {
    await waitFor("the run could be cancelled", async () => {
      await this.#world.cancel(runId);
      return true;
    });
  }

  #say(text: string): void {
    this.#options.onStep?.(text);
  }

  async #applyNow(to: EffectiveMode): Promise<void> {
    this.#run += 1;
    const ids = [...new Set(this.#told)];
    if (await this.#world.apply(`run-${this.#run}`, to, ids, [])) return;
    throw new Error(`apply ${this.#run} was rolled back with nobody dying`);
  }

  async #dieDuring(kill: Kill, deed: () => Promise<void>): Promise<void> {
    const { failpoint, afterMs } = kill;
    await this.#restart(failpoint === undefined ? {} : { QMTL_FAILPOINT: failpoint });
    const died = endOf(this.#stack.process);
    // It fails with the platform; what must not be shows in the record.
    const doing = deed().catch((failure: unknown) =>
      this.#say(`  while dying: ${String(failure)}`),
    );
    const waitMs = failpoint === undefined ? afterMs : POINT_MS_MAX;
    const hasDone =
      failpoint === undefined ? new Promise<void>(() => {}) : doing.then(() => pause(SPARED_MS));
    const isReached = await within(died, hasDone, waitMs);
    const point = failpoint ?? "random";
    this.#deaths.push({ point, isReached });
    this.#options.onKill?.(
      `${kill.deed} ${point}${isReached || failpoint === undefined ? "" : " (not reached)"}`,
    );
    if (!isReached) await this.#stack.kill();
    if (kill.deed === "submit") await this.#restart({});
    await Promise.race([doing, pause(DOING_MS_MAX)]);
  }

  /** A platform that dies of its failpoint while it starts is started once more without. */
  async #restart(env: Readonly<Record<string, string>>): Promise<void> {
    await this.#stack.restart(env).catch(() => this.#stack.restart({}));
  }
}

function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}

/** True when `event` comes before `end` and in time. */
function within(event: Promise<void>, end: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void end.then(() => resolve(false));
    void event.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
