import { join } from "node:path";
import {
  type OfflineResult,
  type OnlineSession,
  ProcessingNode,
  Runner,
  Strategy,
  WeightTargetNode,
} from "@qmtl/sdk";
import { readSessionRecord, replaySession, type SessionRecord } from "@qmtl/sdk/platform";
import { connectTo } from "@qmtl/sdk/rpc";
import { describePostgres } from "@qmtl/service-kit/testing";
import { describe, expect, test } from "vitest";
import {
  delayed,
  type LabAccount,
  type LabFeed,
  labMain as main,
  PaperLab,
  seededNumbers,
  symbolOf,
} from "./testing/paper-lab.ts";
import {
  closesOf,
  dayMs,
  firstMs,
  historyDays,
  Legs,
  rateWalk,
  start,
  walk,
  weekly,
} from "./testing/paper-market.ts";

const days = historyDays + 45;
const hourMs = 3_600_000;

interface HeldWeight {
  readonly weight: number;
  readonly rebalance: { readonly every?: string; readonly drift?: number };
}

/** Weights that never change, each kept in its own way. */
class FixedWeights extends Strategy {
  static readonly module = import.meta.url;
  readonly #held: Readonly<Record<string, HeldWeight>>;

  constructor(held: Readonly<Record<string, HeldWeight>>) {
    super();
    this.#held = held;
  }

  override setup(): void {
    for (const [source, { weight, rebalance }] of Object.entries(this.#held)) {
      const signal = new ProcessingNode({
        name: `weight_${source}`,
        inputs: { close: closesOf(source, "1d") },
        period: 1,
        params: { weight },
        compute: (_, params) => params.weight,
      });
      const instrument = symbolOf(source);
      this.addNodes([new WeightTargetNode({ signal, instrument, weightMin: -1, rebalance })]);
    }
  }
}

interface Scenario {
  readonly feeds: Readonly<Record<string, LabFeed>>;
  /** Funding of the instruments of feeds, by feed. @default none */
  readonly funding?: Readonly<Record<string, LabFeed>>;
  /** Accounts, each with a strategy that trades what it lists. */
  readonly accounts: Readonly<Record<string, LabAccount & { readonly made: () => Strategy }>>;
}

/** One account whose weights change with every bar of its feeds. */
function legs(feeds: Readonly<Record<string, LabFeed>>): Scenario {
  const entries = Object.entries(feeds).map(([name, { interval }]) => [name, interval]);
  const made = () => new Legs(Object.fromEntries(entries), 0.9);
  return { feeds, accounts: { main: { ...main, feeds: Object.keys(feeds), made } } };
}

const scenarios: Readonly<Record<string, Scenario>> = {
  "one feed": legs({ a: walk(1, { to: days }) }),
  "two feeds, one with holidays": legs({
    a: walk(2, { to: days }),
    b: walk(3, { to: days }, weekly),
  }),
  "four feeds: holidays, an early end, a late listing, and half days": legs({
    a: walk(4, { to: days }),
    b: walk(5, { to: days }, (day) => weekly(day) || day % 11 === 0),
    c: walk(6, { to: days - 15 }),
    d: walk(7, { from: historyDays + 9, to: days }, weekly, dayMs / 2),
  }),
  "two accounts that share a feed, one of which reads a feed that it does not trade": {
    feeds: {
      a: walk(8, { to: days }),
      b: walk(9, { to: days }, weekly),
      c: walk(10, { to: days }, (day) => day % 5 === 2),
    },
    accounts: {
      main: { ...main, feeds: ["a", "b"], made: () => new Legs({ a: "1d", b: "1d" }, 0.9) },
      other: {
        ...{ cash: 250_000, feeBps: 5, feeds: ["c", "a"] },
        made: () => new Legs({ c: "1d", a: "1d" }, 0.9, { b: "1d" }),
      },
    },
  },
  "fixed weights, monthly, by drift and both, one with holidays": {
    feeds: {
      a: walk(11, { to: days }),
      b: walk(12, { to: days }, weekly),
      c: walk(13, { to: days }),
    },
    accounts: {
      main: {
        ...{ ...main, feeds: ["a", "b", "c"] },
        made: () =>
          new FixedWeights({
            a: { weight: 0.4, rebalance: { every: "1mo" } },
            b: { weight: -0.25, rebalance: { drift: 0.004 } },
            c: { weight: 0.3, rebalance: { every: "1mo", drift: 0.01 } },
          }),
      },
    },
  },
  "funding between bars, of an instrument that two accounts list and of one that none does": {
    feeds: {
      a: walk(14, { to: days }),
      b: walk(15, { to: days }, weekly),
      c: walk(16, { to: days }, (day) => day % 5 === 2),
      d: walk(17, { to: days }),
    },
    funding: {
      a: rateWalk(41, days, 8 * hourMs),
      c: rateWalk(42, days, dayMs),
      d: rateWalk(43, days, 9 * hourMs),
    },
    accounts: {
      main: { ...main, feeds: ["a", "b"], made: () => new Legs({ a: "1d", b: "1d" }, 0.9) },
      other: {
        ...{ cash: 250_000, feeBps: 5, feeds: ["c", "a"] },
        made: () => new Legs({ c: "1d", a: "1d" }, 0.9, { d: "1d" }),
      },
    },
  },
};

/** What happens while a session runs: the same for the same seed. */
interface Incidents {
  /** Day at whose end another runner takes over. */
  readonly takeover: number | undefined;
  /** Day at which the platform restarts, and whether the feeds are held there. */
  readonly restart: { readonly day: number; readonly isHeld: boolean } | undefined;
}

function incidentsOf(name: string, seed: number): Incidents {
  const kind = Object.keys(scenarios).indexOf(name) + seed;
  const random = seededNumbers(1_000 * kind + seed);
  const day = (from: number, to: number) => historyDays + Math.floor(from + random() * (to - from));
  return {
    takeover: kind % 4 === 0 || kind % 4 === 2 ? day(3, 18) : undefined,
    restart: kind % 4 < 2 ? { day: day(20, 32), isHeld: random() < 0.5 } : undefined,
  };
}

/** A session of a scenario on paper, and what the same strategies give offline. */
class PaperStory implements AsyncDisposable {
  readonly lab: PaperLab;
  readonly #scenario: Scenario;
  readonly #seed: number;
  readonly #runs = new Map<string, OnlineSession>();
  readonly #offline = new Map<string, OfflineResult>();
  #runners = 0;

  private constructor(lab: PaperLab, scenario: Scenario, seed: number) {
    this.lab = lab;
    this.#scenario = scenario;
    this.#seed = seed;
  }

  static async open(scenario: Scenario, seed: number, dsn?: string): Promise<PaperStory> {
    const { feeds, accounts, funding } = scenario;
    const lab = await PaperLab.open(feeds, start, { accounts, dsn, funding });
    return new PaperStory(lab, scenario, seed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs.values()) await run.stop();
    await this.lab[Symbol.asyncDispose]();
  }

  /** Runs every strategy offline, then on paper to the end of its feeds. */
  async tell({ takeover, restart }: Incidents): Promise<void> {
    const { config } = this.lab;
    const range = { from: start, until: "2100-01-01" };
    for (const [name, { made, feeds }] of Object.entries(this.#scenario.accounts)) {
      this.#offline.set(name, await Runner.offline(made(), { config, ...range }));
      await this.lab.createWorld(feeds[0]!, { worldId: name, accountId: name });
      const run = await this.#run(name);
      await expect.poll(() => run.status().holderOf, waiting).toBeGreaterThan(0);
      this.#runs.set(name, run);
    }
    for (const [name, run] of this.#runs)
      await this.lab.promote({ [run.status().strategyId]: 1 }, name);
    if (takeover !== undefined) {
      await this.#advance(takeover);
      await this.#takeOver();
    }
    if (restart !== undefined) {
      if (restart.isHeld) await this.#advance(restart.day);
      else await this.#passing(restart.day);
      await this.lab.stop();
      await this.lab.start();
      if (restart.isHeld) await this.lab.settled("a");
    }
    await this.lab.advance("a");
    for (const run of this.#runs.values()) await run.done;
  }

  /** Orders, fills and last equity of each account, on paper and offline. */
  async outcomes() {
    const accounts = Object.keys(this.#scenario.accounts);
    const paper = accounts.map(async (name) => ({
      ...{ name, orders: await this.lab.orders(name), fills: fillsOf(await this.#record(name)) },
      equity: Number(await this.lab.equity(name)),
    }));
    const offline = accounts.map((name) => {
      const { orders, fills, equity } = this.#offline.get(name)!;
      return {
        name,
        orders: orders.map(({ instrument, lots }) => `${instrument} ${lots / 1_000}`),
        fills: fills.map(({ side, quantity, price, fee }) =>
          [side === "buy" ? Number(quantity) : -Number(quantity), price, fee].join(),
        ),
        equity: equity.at(-1),
      };
    });
    return { paper: await Promise.all(paper), offline };
  }

  /** What each session gives that is replayed from its record. */
  async replays() {
    const { config } = this.lab;
    const replayed = [...this.#runs.keys()].map(async (name) =>
      replaySession(this.#scenario.accounts[name]!.made(), await this.#record(name), { config }),
    );
    return Promise.all(replayed);
  }

  #record(name: string): Promise<SessionRecord> {
    return readSessionRecord(this.#recordFile(name));
  }

  #recordFile(name: string): string {
    return join(this.lab.folder, `${name}.jsonl`);
  }

  /** Starts a runner, each of whose calls waits for a random while. */
  async #run(name: string): Promise<OnlineSession> {
    const { config } = this.lab;
    this.#runners += 1;
    const connection = delayed(
      connectTo(config.sdk.gateway_url),
      100 * this.#seed + this.#runners,
      4,
    );
    const { made } = this.#scenario.accounts[name]!;
    const record = this.#recordFile(name);
    const run = await Runner.session(made(), { config, worldId: name, connection, record });
    await expect.poll(() => run.status().strategyId, waiting).not.toBe("");
    return run;
  }

  /** The first runner stops while another follows, which goes on. */
  async #takeOver(): Promise<void> {
    const [[name, first] = []] = this.#runs;
    if (name === undefined || first === undefined) throw new Error("nobody runs");
    const second = await this.#run(name);
    await expect.poll(() => second.status().followed, waiting).toBeGreaterThan(0);
    await first.stop();
    this.#runs.set(name, second);
    await expect.poll(() => second.status().armed, { timeout: 60_000 }).toBe(true);
  }

  #advance(day: number): Promise<void> {
    return this.lab.advance("a", firstMs + day * dayMs);
  }

  /** Lets the feeds pass to their end, and waits until they have come to a day. */
  async #passing(day: number): Promise<void> {
    await this.lab.release("a");
    const [run] = this.#runs.values();
    await expect
      .poll(() => run?.status().bucketEnd, { timeout: 120_000, interval: 5 })
      .toBeGreaterThanOrEqual(firstMs + day * dayMs);
  }
}

const waiting = { timeout: 30_000 };

/** Fills of a journal: signed quantity, price and fee. */
function fillsOf({ journal }: SessionRecord): string[] {
  return journal.flatMap(({ body }) => {
    if (body.op !== "fill") return [];
    const { lots, price, fee } = body.fill as Record<"lots" | "price" | "fee", number>;
    return [[lots / 1_000, price, fee].join()];
  });
}

/** Runs of each scenario: the seed decides the delays in front of calls and what happens on the way. */
const runs = Number(process.env.QMTL_PAPER_RUNS ?? 1);
const cases = (names: readonly string[]) =>
  names.flatMap((name) =>
    Array.from({ length: runs }, (_, k) => {
      const { takeover, restart } = incidentsOf(name, k + 1);
      const how = [
        ...(takeover === undefined ? [] : ["a takeover"]),
        ...(restart === undefined ? [] : [restart.isHeld ? "a restart" : "a restart on the way"]),
      ];
      return [name, how.join(" and ") || "delays alone", k + 1] as const;
    }),
  );

/** Tests of these scenarios on a database. */
function paperEqualsOffline(names: readonly string[], dsn: () => Promise<string | undefined>) {
  test.each(cases(names))(
    "paper gives the orders, fills and equity of the offline run, and its record replays: %s; %s (%i)",
    async (name, _, seed) => {
      await using story = await PaperStory.open(scenarios[name]!, seed, await dsn());
      await story.tell(incidentsOf(name, seed));

      const { paper, offline } = await story.outcomes();
      expect(paper).toEqual(offline);
      for (const { fills } of paper) expect(fills.length).toBeGreaterThan(5);
      for (const replay of await story.replays())
        expect(replay).toMatchObject({ identical: true, differences: [] });
    },
    300_000,
  );
}

/** By itself the suite runs few; the one with the most incidents on a server, too. */
const startingWith = (...begins: readonly string[]): string[] =>
  Object.keys(scenarios).filter((name) => runs > 1 || begins.some((one) => name.startsWith(one)));

describe("an embedded platform", () => {
  paperEqualsOffline(
    startingWith("four", "two accounts", "fixed", "funding"),
    async () => undefined,
  );
});

describePostgres("a platform over a database server", (server) => {
  paperEqualsOffline(startingWith("two accounts"), () => server().createDatabase());
});
