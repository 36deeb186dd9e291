import type { Client } from "@connectrpc/connect";
import {
  GatewayService,
  type SubmitStrategyRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { column, PositionTargetNode, Runner, Strategy, StreamInput, sma } from "@qmtl/sdk";
import { buildSubmission } from "@qmtl/sdk/platform";
import { barsProject, FakeGateway, randomWalkBars, waitUntil, withColumn } from "@qmtl/sdk/testing";
import { expect, onTestFinished, test } from "vitest";
import { accountSchema } from "../config/data-sections.ts";

class Above extends Strategy {
  static calls: string[] = [];

  override setup(): void {
    const stream = { source: "feed", columns: ["close"], interval: "1d" };
    const signal = new StreamInput(stream);
    const thresholds = { longEnter: 100, longExit: 100 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }

  override onStart(): void {
    Above.calls.push("onStart");
  }
}

/** A configuration with 30 bars of one instrument. */
async function project() {
  const feed = randomWalkBars({ count: 30, seed: 3, volatility: 0.02 });
  const made = await barsProject({ feed }, { instruments: { X: {} } });
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

/** The request that a run submits, as its gateway receives it. */
async function handedIn(config: Awaited<ReturnType<typeof project>>["config"]) {
  const { client } = new FakeGateway().connection();
  const gateway = client(GatewayService);
  const requests: SubmitStrategyRequest[] = [];
  const watched: Client<typeof GatewayService> = {
    ...gateway,
    submitStrategy: (request, options) => {
      requests.push(request as SubmitStrategyRequest);
      return gateway.submitStrategy(request, options);
    },
  };
  const connection: ReturnType<FakeGateway["connection"]> = {
    client: (service) =>
      (service.typeName === GatewayService.typeName ? watched : client(service)) as Client<
        typeof service
      >,
  };
  const run = await Runner.run(Above, { worldId: "w1", config, connection });
  await waitUntil(() => requests.length > 0, "the submission");
  await run.stop();
  return requests[0]!;
}

test("a submission is built as a run hands it in, under an id of its own", async () => {
  const { config } = await project();

  const built = await buildSubmission(Above, { worldId: "w1", config });
  const { requestId, ...rest } = await handedIn(config);

  expect(built).toMatchObject(rest);
  expect(built.graph?.nodes).toHaveLength(3); // the stream, the bars that mark X, and the target
  expect(built.backtest?.returns).toHaveLength(29);
  expect(built.requestId).not.toBe("");
  expect(built.requestId).not.toBe(requestId);
});

test("of several accounts that list the instruments, the backtest that is handed in has that of the world", async () => {
  const { config } = await project();
  const rules = accountSchema.parse({ instruments: ["X"] });
  const dear = { ...rules, initial_cash: "50", fee_bps: 900 };
  const accounts = { another: dear, main: rules }; // the world of the fake gateway trades on main
  const [shared, alone] = [
    { ...config, accounts },
    { ...config, accounts: { main: rules } },
  ];

  const asked = await handedIn(shared);
  const named = await buildSubmission(Above, { worldId: "w1", config: shared, accountId: "main" });
  const only = await buildSubmission(Above, { worldId: "w1", config: alone });

  expect(asked.backtest?.returns).toEqual(only.backtest?.returns);
  expect(named.backtest?.returns).toEqual(only.backtest?.returns);
  await expect(buildSubmission(Above, { worldId: "w1", config: shared })).rejects.toMatchObject({
    reason: "ACCOUNT_AMBIGUOUS",
  });
});

test("the bars that mark what a strategy trades are handed in with it, unless it reads them itself", async () => {
  const { config } = await project();
  const bars = ["open", "high", "low", "close"];
  class OnBars extends Strategy {
    override setup(): void {
      const stream = { source: "feed", columns: bars, interval: "1d" };
      const signal = sma(column(new StreamInput(stream), "close"), 2);
      const thresholds = { longEnter: 100, longExit: 100 };
      this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
    }
  }

  const closes = await buildSubmission(Above, { worldId: "w1", config });
  const whole = await buildSubmission(OnBars, { worldId: "w1", config });

  const columnsOf = ({ graph }: SubmitStrategyRequest) =>
    graph?.nodes
      .filter(({ source }) => source?.source === "feed")
      .map(({ columns }) => columns.map(({ name }) => name))
      .sort((a, b) => a.length - b.length);
  expect(columnsOf(closes)).toEqual([["close"], bars]);
  expect(columnsOf(whole)).toEqual([bars]);
});

/** A configuration with 30 bars of X and Y, whose funding is stated by columns of a feed of rates, or of that of the bars. */
async function fundedProject(source: string, columns = { X: "x", Y: "y" }) {
  const feed = randomWalkBars({ count: 30, seed: 3, volatility: 0.02 });
  const rated = withColumn(
    withColumn(feed, "x", () => 0.001),
    "y",
    () => 0.002,
  );
  const made = await barsProject(
    { feed: rated, rates: rated },
    { instruments: { X: { source: "feed" }, Y: { source: "feed" } } },
  );
  onTestFinished(() => made[Symbol.asyncDispose]());
  const { X, Y } = made.config.instruments;
  return {
    ...made.config,
    instruments: {
      X: { ...X!, funding: { source, column: columns.X } },
      Y: { ...Y!, funding: { source, column: columns.Y } },
    },
  };
}

test("the rates of what a strategy trades are handed in with it, with all columns that are booked of their source", async () => {
  const apart = await buildSubmission(Above, {
    worldId: "w1",
    config: await fundedProject("rates"),
  });
  const inBars = await buildSubmission(Above, {
    worldId: "w1",
    config: await fundedProject("feed"),
  });

  const columnsOf = ({ graph }: SubmitStrategyRequest) =>
    graph?.nodes
      .filter(({ source }) => source !== undefined)
      .map(({ source, columns }) => [source?.source, ...columns.map(({ name }) => name)].join(" "))
      .sort();
  const bars = "feed open high low close";
  expect(columnsOf(apart)).toEqual(["feed close", bars, "rates x y"]);
  expect(columnsOf(inBars)).toEqual(["feed close", `${bars} x y`]);
});

test("a column of rates that a source does not have is refused in a world as in a backtest", async () => {
  const config = await fundedProject("rates", { X: "z", Y: "y" });
  const beside = await fundedProject("rates", { X: "x", Y: "z" });
  const online = { worldId: "w1", connection: new FakeGateway().connection() };
  const message = 'funding.column: source "rates" has no column "z"';

  await expect(Runner.offline(Above, { config })).rejects.toThrow(`instruments.X.${message}`);
  await expect(Runner.run(Above, { ...online, config })).rejects.toThrow(
    `instruments.X.${message}`,
  );
  // Rows of rates are booked whole, so the column of another instrument counts, too.
  await expect(Runner.run(Above, { ...online, config: beside })).rejects.toThrow(
    `instruments.Y.${message}`,
  );
});

test("building a submission runs the backtest and nothing else", async () => {
  const { config } = await project();
  Above.calls = [];

  await buildSubmission(Above, { worldId: "w1", config });

  expect(Above.calls).toEqual(["onStart"]);
});

/** A strategy that reads bars of an interval. */
function onBars(interval: string) {
  return class OnBars extends Strategy {
    static readonly module = import.meta.url;

    override setup(): void {
      const signal = new StreamInput({ source: "feed", columns: ["close"], interval });
      const thresholds = { longEnter: 100, longExit: 100 };
      this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
    }
  };
}

async function projectOf(interval: string) {
  const feed = randomWalkBars({ count: 30, seed: 3, from: "2024-01-01", interval });
  const made = await barsProject({ feed }, { instruments: { X: {} } });
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

test("weekly bars are handed in by their length, monthly ones by the average that stands for it", async () => {
  const weeks = await projectOf("1w");
  const months = await projectOf("1mo");
  const built = await buildSubmission(onBars("1w"), { worldId: "w1", config: weeks.config });
  const monthly = await buildSubmission(onBars("1mo"), { worldId: "w1", config: months.config });

  expect(built.graph?.nodes.map((node) => node.intervalSeconds)).toEqual([
    604_800n,
    604_800n,
    604_800n,
  ]);
  expect(built.backtest?.interval?.seconds).toBe(604_800n);
  expect(monthly.graph?.nodes.map((node) => node.intervalSeconds)).toEqual([
    2_629_746n,
    2_629_746n,
    2_629_746n,
  ]);
});

test("a stream of another interval than its source is refused in a world as in a backtest", async () => {
  const { config } = await projectOf("1w");
  const message =
    'stream "feed" declares bars of 1d, but sources.feed.interval in the configuration is 1w';
  const connection = new FakeGateway().connection();

  await expect(Runner.offline(onBars("1d"), { config })).rejects.toThrow(message);
  await expect(Runner.run(onBars("1d"), { worldId: "w1", config, connection })).rejects.toThrow(
    message,
  );
});
