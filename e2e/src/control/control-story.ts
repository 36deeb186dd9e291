import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { Life } from "../crash/life.ts";
import { numbersFrom } from "../crash/seeded-numbers.ts";
import { writeStoryFiles } from "../crash/story-files.ts";
import { StoryRunners } from "../crash/story-runners.ts";
import { STORY_WORLD } from "../crash/story-world.ts";
import { waitFor } from "../crash/wait-for.ts";
import { type Stack, startStack } from "../harness/start-stack.ts";
import { OperatorDeeds } from "./operator-deeds.ts";
import { isAsStored } from "./sent-and-stored.ts";
import { WireSubscriber } from "./wire-subscriber.ts";

const worldId = STORY_WORLD;
const rights = [TicketRight.OBSERVE];
const WORLD_TOPICS = [
  ...[Topic.GATE, Topic.POLICY, Topic.QUEUE, Topic.ORDER, Topic.HALT],
  ...[Topic.REBALANCING, Topic.FEED],
];
/** Longest wait until the held state is the stored one, milliseconds; the gate alone changes every few seconds. */
const AGREE_MS_MAX = 30_000;

/** What happens in a story, with relative frequencies. */
const WEIGHTS = {
  ...{ halt: 4, resume: 4, policy: 2, otherDefault: 1, allocate: 2, preview: 1, execute: 3 },
  ...{ bar: 6, freeze: 1, thaw: 2, submit: 1, cut: 3, kill: 1 },
} as const;
type ControlDeed = keyof typeof WEIGHTS;
const DEEDS = Object.keys(WEIGHTS).filter((name): name is ControlDeed => name in WEIGHTS);

/** The deeds of a story: each once, the others drawn by weight, in an order that follows from the seed. */
function dealDeeds(next: () => number, count: number): ControlDeed[] {
  const deck = DEEDS.flatMap((deed) => new Array<ControlDeed>(WEIGHTS[deed]).fill(deed));
  const dealt = Array.from(
    { length: Math.max(0, count - DEEDS.length) },
    () => deck[Math.floor(next() * deck.length)]!,
  );
  const all = [...DEEDS, ...dealt];
  for (let at = all.length - 1; at > 0; at -= 1) {
    const other = Math.floor(next() * (at + 1));
    [all[at], all[other]] = [all[other]!, all[at]!];
  }
  return all;
}

/** A platform with two strategies on paper, and subscribers that follow all its topics from the beginning. */
export class ControlStory implements AsyncDisposable {
  /** Follows the world and its feed; submissions need a ticket of their own, as that must name strategies. */
  readonly world: WireSubscriber;
  readonly submissions: WireSubscriber;
  readonly operator: OperatorDeeds;
  readonly #stack: Stack;
  readonly #next: () => number;
  readonly #connection: Connection;
  readonly #runners: StoryRunners;
  #open: AsyncDisposableStack;
  #life: Life;
  #bar = 0;

  private constructor(stack: Stack, next: () => number, open: AsyncDisposableStack) {
    this.#stack = stack;
    this.#next = next;
    this.#open = open;
    this.#life = new Life(stack);
    open.defer(() => this.#life[Symbol.asyncDispose]());
    this.#connection = open.use(connectTo(stack.gatewayUrl, { reconnectDelayMsMax: 200 }));
    this.#runners = open.use(new StoryRunners(stack.configFile, stack.gatewayUrl));
    this.operator = new OperatorDeeds(this.#connection, next, () => this.#runners.told);
    this.world = open.use(this.subscriber());
    this.submissions = open.use(
      new WireSubscriber(this.#connection, async () => {
        const strategyIds = await this.operator.strategies();
        if (strategyIds.length === 0) return undefined;
        return { worldId, rights, strategyIds, topics: [Topic.SUBMISSION] };
      }),
    );
  }

  static async begin(seed: number): Promise<ControlStory> {
    await using open = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "qmtl-control-"));
    open.defer(() => rm(folder, { recursive: true, force: true }));
    const config = await writeStoryFiles(folder, seed);
    const stack = open.use(await startStack({ config }));
    const story = new ControlStory(stack, numbersFrom(seed), open);
    await story.#begin();
    story.#open = open.move();
    return story;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync();
  }

  /** Strategies whose submission was acknowledged to the submitter. */
  get submitted(): readonly string[] {
    return this.#runners.told;
  }

  /** One more subscriber to the world and its feed, not connected yet. */
  subscriber(topics: readonly Topic[] = WORLD_TOPICS): WireSubscriber {
    const scope = { worldId, rights, topics: [...topics], sources: ["flips"] };
    return new WireSubscriber(this.#connection, async () => scope);
  }

  /** Does `count` deeds, in an order that follows from the seed. */
  async tell(count: number): Promise<void> {
    for (const deed of dealDeeds(this.#next, count)) {
      await this.#do(deed);
      this.#check();
    }
    this.world.connect();
  }

  /** Waits until the held state of every topic key is the one the platform answers; throws on a protocol violation. */
  async agree(subscriber: WireSubscriber): Promise<void> {
    subscriber.connect();
    const until = (what: string, look: () => Promise<boolean>) =>
      waitFor(
        what,
        async () => {
          const isDone = subscriber.violation !== undefined || (await look());
          return isDone || undefined;
        },
        { timeoutMs: AGREE_MS_MAX },
      );
    await until("the ticket names its keys", async () => subscriber.topicKeys.length > 0);
    for (const key of subscriber.topicKeys)
      await until(`${key} is held as it is stored`, async () => {
        const held = subscriber.held.get(key);
        return held !== undefined && (await isAsStored(this.#connection, held));
      });
    if (subscriber.violation !== undefined) throw subscriber.violation;
  }

  async #do(deed: ControlDeed): Promise<void> {
    if (deed === "kill") await this.#kill();
    else if (deed === "cut") await this.#cut();
    else await this.#act(deed);
  }

  #act(deed: Exclude<ControlDeed, "kill" | "cut">): Promise<void> {
    switch (deed) {
      case "bar":
        return this.#passBar();
      case "freeze":
        return this.#life.world.freeze();
      case "thaw":
        return this.#thaw();
      case "submit":
        return this.#submit();
      default:
        return this.operator[deed]();
    }
  }

  async #begin(): Promise<void> {
    await this.#life.world.create();
    this.world.connect();
    this.submissions.connect();
    const ids = await this.#runners.begin();
    await this.#life.world.allocate(ids);
    await this.#reach(EffectiveMode.COMPUTE_ONLY, ids);
    await this.#passBar();
    await this.#reach(EffectiveMode.PAPER, ids);
    for (let bars = 0; bars < 3; bars += 1) await this.#passBar();
  }

  async #reach(to: EffectiveMode, on: readonly string[]): Promise<void> {
    let run = 0;
    await waitFor(`both strategies are at ${to}`, async () => {
      await this.#thaw();
      const isDone = await this.#life.world.apply(`to-${to}-${++run}`, { to, on, off: [] });
      return isDone || undefined;
    });
  }

  async #thaw(): Promise<void> {
    await this.#life.world.settle();
  }

  #passBar(): Promise<void> {
    return this.#life.world.passBar(++this.#bar);
  }

  /** Submits a new strategy; its submission is followed as soon as the strategy is known. */
  async #submit(): Promise<void> {
    const before = (await this.operator.strategies()).length;
    const submitted = this.#runners.submitAnother(this.#life.ended);
    await waitFor("another strategy is known", async () => {
      const isKnown = (await this.operator.strategies()).length > before;
      return isKnown || undefined;
    });
    await this.submissions.cut();
    this.submissions.connect();
    await submitted;
  }

  /** Cuts the stream, which resumes at once or after another deed. */
  async #cut(): Promise<void> {
    await this.world.cut();
    const meanwhile = this.#pickMeanwhile();
    if (this.#next() < 0.8) await this.#act(meanwhile);
    this.world.connect();
  }

  /** Kills the platform during a deed, starts it again, and repeats the request whose answer was lost. */
  async #kill(): Promise<void> {
    let isKilled = false;
    const failed = this.#act(this.#pickMeanwhile()).then(
      () => undefined,
      (failure: unknown) => (isKilled ? undefined : failure),
    );
    await this.#life.end(Math.floor(this.#next() * 150));
    isKilled = true;
    await this.#stack.kill();
    const ended = this.#life;
    const next = await Life.next(this.#stack);
    if (next === undefined) throw new Error("the platform did not come back");
    const failure = await failed;
    if (failure !== undefined) throw failure;
    await ended[Symbol.asyncDispose]();
    this.#life = next;
    // The connection outlives the process, and finds the next one only when it tries again.
    await waitFor("the platform answers", () => this.operator.strategies());
    await this.operator.finish();
  }

  #pickMeanwhile() {
    const some = ["halt", "resume", "policy", "allocate", "execute", "bar"] as const;
    return some[Math.floor(this.#next() * some.length)]!;
  }

  #check(): void {
    const violation = this.world.violation ?? this.submissions.violation;
    if (violation !== undefined) throw violation;
  }
}
