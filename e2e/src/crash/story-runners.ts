import {
  loadConfig,
  type OnlineSession,
  type QmtlConfig,
  Runner,
  type Strategy,
  type StrategyClass,
} from "@qmtl/sdk";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { FlipAgainst, FlipVariant, FlipWith } from "./flip-strategy.ts";
import { quickClock } from "./quick-clock.ts";
import { STORY_WORLD } from "./story-world.ts";
import { waitFor } from "./wait-for.ts";

/** Longest wait for a submission, milliseconds: if the platform dies meanwhile, the next process continues it. */
const SUBMITTED_MS_MAX = 150_000;

/** The strategies of a story. They run in the driver's process and outlive every death of the platform. */
export class StoryRunners implements AsyncDisposable {
  /** Strategies whose submission was acknowledged, in that order, each once. */
  readonly told: string[] = [];
  readonly #config: QmtlConfig;
  readonly #url: string;
  readonly #connection: Connection;
  readonly #lasting = new Map<StrategyClass, OnlineSession>();
  readonly #passing = new Set<Promise<void>>();
  readonly #open = new Set<OnlineSession>();
  readonly #onProblem: ((text: string) => void) | undefined;
  #variants = 0;

  constructor(configFile: string, gatewayUrl: string, onProblem?: (text: string) => void) {
    this.#onProblem = onProblem;
    this.#config = loadConfig({ path: configFile });
    this.#url = gatewayUrl;
    this.#connection = connectTo(gatewayUrl, { reconnectDelayMsMax: 200 });
  }

  /** Starts the two strategies that trade. Resolves to their ids once both are submitted. */
  async begin(): Promise<[string, string]> {
    for (const strategy of [FlipWith, FlipAgainst]) await this.#last(strategy);
    const [first = "", second = ""] = await waitFor("both strategies are submitted", async () =>
      this.told.length === 2 ? this.told : undefined,
    );
    return [first, second];
  }

  /** Ends the first strategy's session and begins another. */
  async rejoin(): Promise<void> {
    await this.#lasting.get(FlipWith)?.stop();
    await this.#last(FlipWith);
  }

  /** Submits a new strategy, whose run ends once that is acknowledged. Resolves then, or when `signal` aborts. */
  async submitAnother(signal: AbortSignal): Promise<void> {
    const before = this.told.length;
    this.#variants += 1;
    const passing = this.#pass(new FlipVariant(this.#variants));
    this.#passing.add(passing);
    await waitFor("another is submitted", async () => this.told.length > before || undefined, {
      signal,
    });
  }

  /** Resolves when every submission was acknowledged. */
  async allTold(): Promise<void> {
    await Promise.all(this.#passing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open].map((run) => run.stop()));
    this.#connection.close();
  }

  async #last(strategy: StrategyClass): Promise<void> {
    this.#lasting.set(strategy, await this.#run(strategy, () => {}));
  }

  async #pass(strategy: Strategy): Promise<void> {
    let isTold = false;
    const run = await this.#run(strategy, () => {
      isTold = true;
    });
    const told = waitFor(`${strategy.name} is submitted`, async () => isTold || undefined, {
      timeoutMs: SUBMITTED_MS_MAX,
    });
    await told.finally(() => run.stop());
  }

  async #run(strategy: StrategyClass | Strategy, onTold: () => void): Promise<OnlineSession> {
    const run = await Runner.run(strategy, {
      worldId: STORY_WORLD,
      config: this.#config,
      gatewayUrl: this.#url,
      connection: this.#connection,
      clock: quickClock,
      onProblem: (text) => this.#onProblem?.(text),
      onEvent: ({ kind, message }) => {
        if (kind !== "submitted") return;
        const id = message.split(":")[0] ?? "";
        if (!this.told.includes(id)) this.told.push(id);
        onTold();
      },
    });
    this.#open.add(run);
    run.done.finally(() => this.#open.delete(run)).catch(() => {});
    return run;
  }
}
