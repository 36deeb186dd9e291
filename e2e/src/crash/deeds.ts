import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { Deed } from "./kill-plan.ts";
import type { Life } from "./life.ts";
import type { WorldSample } from "./story-record.ts";
import type { StoryRunners } from "./story-runners.ts";
import { LONG_LEASE_MS, STORY_TIMERS, STORY_TTL_SECONDS } from "./story-world.ts";
import { waitFor } from "./wait-for.ts";

/** Longest wait for what the platform does by itself before the deed is repeated, milliseconds. */
const OWN_MS_MAX = 1_000 * STORY_TTL_SECONDS;

/** What the driver does to the platform, and what it must remember from one process to the next. */
export class Deeds {
  readonly samples: WorldSample[] = [];
  readonly #runners: StoryRunners;
  #bar = 0;
  #run = 0;
  #ids: readonly string[] = [];
  #isPromoted = false;
  #weight = 1;
  #leaseMs: number = STORY_TIMERS.leaseMs;
  readonly #of: Readonly<Record<Deed, (life: Life) => Promise<void>>> = {
    apply: async (life) => {
      await this.#applyOther(life);
      await this.passBar(life);
    },
    bar: (life) => this.passBar(life),
    cancel: (life) => this.#cancel(life),
    change: (life) => {
      this.#weight = this.#weight === 1 ? 0.5 : 1;
      return life.world.weigh(this.#ids[0] ?? "", this.#weight);
    },
    freeze: async (life) => {
      await life.world.freeze();
      await life.world.settle();
    },
    lease: (life) => this.#lend(life),
    promote: (life) => this.#promote(life),
    refresh: (life) => life.end(OWN_MS_MAX),
    rejoin: () => this.#runners.rejoin(),
    resume: (life) => life.end(OWN_MS_MAX),
    submit: (life) => this.#runners.submitAnother(life.ended),
    unbind: async (life) => {
      await this.#runners.submitAnother(life.ended);
      await life.world.unbind(this.#runners.told.at(-1) ?? "");
    },
  };

  constructor(runners: StoryRunners) {
    this.#runners = runners;
  }

  /** Creates a world with two strategies, ready for their promotion to paper. */
  async begin(life: Life): Promise<void> {
    await life.world.create();
    this.#ids = await this.#runners.begin();
    await life.world.allocate(this.#ids);
    // On a busy machine a service may stop leading for a moment.
    await waitFor("both strategies compute", async () => {
      await life.world.settle();
      const isDone = await this.#applyAll(life, EffectiveMode.COMPUTE_ONLY);
      return isDone || undefined;
    });
    await this.passBar(life);
  }

  /** Brings the world to rest; once promoted, passes a bar on which orders are sent and filled. */
  async rest(life: Life): Promise<void> {
    this.samples.push(await life.world.settle());
    if (!this.#isPromoted) return;
    await this.passBar(life);
  }

  /** Whether both strategies are on paper; until then, promotion is the next deed. */
  get isPromoted(): boolean {
    return this.#isPromoted;
  }

  do(deed: Deed, life: Life): Promise<void> {
    return this.#of[deed](life);
  }

  passBar(life: Life): Promise<void> {
    this.#bar += 1;
    return life.world.passBar(this.#bar);
  }

  async #promote(life: Life): Promise<void> {
    if (await this.#applyAll(life, EffectiveMode.PAPER)) this.#isPromoted = true;
  }

  #applyAll(life: Life, to: EffectiveMode): Promise<boolean> {
    return life.world.apply(this.#nextRun(), { to, on: this.#ids, off: [] });
  }

  /** An apply that switches the second strategy off, or on again. */
  async #applyOther(life: Life, onPhase?: (runId: string) => void): Promise<void> {
    const { activations } = await life.world.gate();
    const second = this.#ids[1] ?? "";
    const isOn = activations.some((each) => each.strategyId === second && each.active);
    const [on, off] = isOn ? [[], [second]] : [[second], []];
    const runId = this.#nextRun();
    const plan = { to: EffectiveMode.PAPER, on, off };
    await life.world.apply(runId, plan, () => onPhase?.(runId));
  }

  /** Begins an apply and cancels it as soon as its freeze is committed; it may complete before that. */
  async #cancel(life: Life): Promise<void> {
    let cancelled: Promise<unknown> | undefined;
    await this.#applyOther(life, (runId) => {
      cancelled ??= life.world.cancel(runId).catch((failure: unknown) => failure);
    });
    await cancelled;
  }

  async #lend(life: Life): Promise<void> {
    const { leaseMs } = STORY_TIMERS;
    this.#leaseMs = this.#leaseMs === leaseMs ? LONG_LEASE_MS : leaseMs;
    await life.world.lend(this.#leaseMs);
    if (this.#leaseMs === leaseMs) await life.end(2 * LONG_LEASE_MS);
  }

  #nextRun(): string {
    this.#run += 1;
    return `run-${this.#run}`;
  }
}
