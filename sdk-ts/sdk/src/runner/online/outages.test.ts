import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { HeartbeatReplySchema, RefuseReason } from "@qmtl/contracts/qmtl/control/v1/session_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { RunnerService } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { loadConfig, type QmtlConfig } from "../../config/index.ts";
import { type Connection, QmtlError } from "../../rpc/index.ts";
import {
  column,
  PositionTargetNode,
  rsi,
  Strategy,
  StreamInput,
  TagQueryNode,
  type Window,
} from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { Runner } from "../runner.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineOptions, OnlineRun } from "./session/online-run.ts";
import type { OnlineEvent } from "./session/run-reporter.ts";

const historyRows = 10;
const feedRows = 20;
const rows = replayBars(historyRows, feedRows);

class Wave extends Strategy {
  constructor() {
    super({ name: "A", defaultInterval: "1d", defaultPeriod: 1 });
  }
  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["open", "high", "low", "close"] });
    const signal = rsi(column(bars, "close"), 3);
    const thresholds = { longEnter: 55, longExit: 45, shortEnter: 30, shortExit: 40 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}

class Asker extends Strategy {
  constructor() {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
  }
  setup(): void {
    const found = new TagQueryNode({
      queryTags: ["none"],
      interval: "1d",
      compute: (windows: readonly Window[]) => windows[0]?.latest() ?? Number.NaN,
    });
    const thresholds = { longEnter: 50 };
    this.addNodes([new PositionTargetNode({ signal: found, instrument: "X", thresholds })]);
  }
}

const folder = mkdtempSync(join(tmpdir(), "qmtl-outages-"));
const base = `sources: {feed: {file: feed.csv, interval: 1d}}
instruments: {X: {mark_source: feed, lot: "0.1"}}
accounts: {paper: {instruments: [X]}}
`;
function configOf(more = ""): QmtlConfig {
  writeFileSync(join(folder, "qmtl.yml"), `${base}${more}`);
  return loadConfig({ path: join(folder, "qmtl.yml"), env: {} });
}
afterAll(() => rmSync(folder, { recursive: true }));

const open: OnlineRun[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((run) => run.stop()));
});

interface Started {
  readonly run: OnlineRun;
  readonly events: OnlineEvent[];
  /** Events of a kind, in order. */
  of(kind: OnlineEvent["kind"]): readonly string[];
}

async function start(options: Partial<OnlineOptions>): Promise<Started> {
  const identified = identifyStrategy(new Wave(), {
    worldId: "w1",
    module: fileURLToPath(import.meta.url),
  });
  const events: OnlineEvent[] = [];
  const run = await runOnline(identified, {
    worldId: "w1",
    config: configOf(),
    loadRows: async () => rows,
    sessionId: "a",
    onEvent: (event) => events.push(event),
    ...options,
  });
  open.push(run);
  const of = (kind: OnlineEvent["kind"]): readonly string[] =>
    events.filter((event) => event.kind === kind).map(({ message }) => message);
  return { run, events, of };
}

const targetsOf = (gateway: FakeGateway) => gateway.targets.flatMap(({ update }) => update.targets);

describe("the execution domain of a run", () => {
  async function playUnder(
    mode: "paper" | "live",
    options: Partial<OnlineOptions>,
  ): Promise<Started & { readonly gateway: FakeGateway }> {
    const gateway = new FakeGateway();
    gateway.advance(historyRows - 1);
    const started = await start({ connection: gateway.connection(), ...options });
    await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");
    gateway.setGate(true, mode);
    await waitUntil(() => started.run.status().mode === mode, `mode ${mode}`);
    gateway.advance(Number.POSITIVE_INFINITY);
    await started.run.done;
    return { ...started, gateway };
  }

  test("dryrun sends nothing under a live gate, which is shut to it, and says so once", async () => {
    const { run, gateway, of } = await playUnder("live", { executionDomain: "dryrun" });

    expect(targetsOf(gateway)).toEqual([]);
    expect(run.status()).toMatchObject({ gate: "SHUT", armed: false, executionDomain: "dryrun" });
    expect(run.status().wantedOrders).toBeGreaterThan(0);
    expect(of("gate_shut")).toEqual([
      expect.stringContaining("the world grants live, this run sends up to dryrun"),
    ]);
    expect(of("gate_opened")).toEqual([]);
  });

  test("dryrun sends under a paper gate", async () => {
    const { gateway, of } = await playUnder("paper", { executionDomain: "dryrun" });

    expect(targetsOf(gateway).length).toBeGreaterThan(0);
    expect(of("gate_shut").join()).not.toContain("ABOVE_EXECUTION_DOMAIN");
  });

  test.each(["backtest", "shadow", "papier" as ExecutionDomain] as const)(
    "%s sends nothing under a paper gate",
    async (executionDomain) => {
      const { gateway } = await playUnder("paper", { executionDomain });

      expect(targetsOf(gateway)).toEqual([]);
    },
  );

  test("is the configuration's where the run names none, old trade_mode included", async () => {
    const config = configOf("sdk: {trade_mode: paper}\n");
    const { run, gateway } = await playUnder("live", { config });
    const free = await playUnder("live", { config, executionDomain: null });

    expect(run.status().executionDomain).toBe("dryrun");
    expect(targetsOf(gateway)).toEqual([]);
    expect(targetsOf(free.gateway).length).toBeGreaterThan(0);
  });
});

describe("a run without a gateway", () => {
  test("waits with its gate shut, says once what to do, and goes on when the gateway is there", async () => {
    const gateway = new FakeGateway();
    gateway.setDown(true);
    const { run, of } = await start({ connection: gateway.connection() });
    await waitUntil(() => of("unreachable").length > 0, "the outage");

    expect(run.status()).toMatchObject({
      strategyId: "",
      gate: "SHUT",
      armed: false,
      connection: { state: "waiting_for_gateway", sinceMs: expect.any(Number) },
    });
    const [message] = of("unreachable");
    for (const way of [
      "the default address http://127.0.0.1:7400",
      "qmtl up",
      "--gateway-url",
      "sdk.gateway_url",
      "--offline",
      "Runner.offline()",
    ]) {
      expect(message).toContain(way);
    }

    gateway.setDown(false);
    await run.done;
    expect(of("unreachable")).toHaveLength(1);
    expect(of("submitted")).toHaveLength(1);
    expect(run.status().connection).toMatchObject({ state: "connected", problem: "" });
    expect(run.status().row).toBe(historyRows + feedRows - 1);
  });

  test("names the address that was given, and is stopped at once while it waits", async () => {
    const { run, of } = await start({ gatewayUrl: "http://127.0.0.1:9" });
    await waitUntil(() => of("unreachable").length > 0, "the outage");

    expect(of("unreachable")[0]).toContain("no gateway at http://127.0.0.1:9 (");
    await Promise.all([run.stop(), run.stop(), Runner.shutdown(run)]);
    await run.done;
    expect(of("stopped")).toHaveLength(1);
  });

  test("is told of a gateway that takes connections and says nothing, within the time for an answer", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const bound = silent.address();
    const port = typeof bound === "object" ? bound?.port : undefined;
    try {
      const { run, of } = await start({
        gatewayUrl: `http://127.0.0.1:${port}`,
        config: configOf("sdk: {request_timeout_ms: 100}\n"),
      });
      await waitUntil(() => of("unreachable").length > 0, "the outage");

      expect(run.status().connection.state).toBe("waiting_for_gateway");
      await run.stop();
    } finally {
      silent.close();
    }
  });

  test("shuts its gate in mid-run, and opens it by itself when the gateway is back", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const { run, of } = await start({ connection: gateway.connection() });
    await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");
    gateway.setGate(true, "paper");
    await waitUntil(() => run.status().armed, "the gate open");

    gateway.setDown(true);
    await waitUntil(() => of("unreachable").length === 1, "the outage");
    expect(run.status().connection.state).toBe("waiting_for_gateway");
    gateway.setDown(false);
    await waitUntil(() => run.status().connection.state === "connected", "the gateway back");
    gateway.advance(Number.POSITIVE_INFINITY);
    await run.done;

    expect(run.status().reconnects).toBe(1);
    expect(of("connected")).toHaveLength(2);
  });

  test("is stopped within 5 s while the gateway is away and calls are not even refused", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const connection = gateway.connection();
    let isAway = false;
    // Calls to a machine that is gone fail only once their time is over.
    const never = (): Promise<never> => new Promise(() => {});
    const { run, of } = await start({
      connection: {
        client: (service) =>
          new Proxy(connection.client(service), {
            get: (client, name) =>
              isAway && name === "releaseLeases" ? never : Reflect.get(client, name),
          }),
      },
    });
    await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");
    gateway.setDown(true);
    isAway = true;
    await waitUntil(() => of("unreachable").length === 1, "the outage");

    const begunMs = performance.now();
    await run.stop();

    expect(performance.now() - begunMs).toBeLessThan(6_000);
    expect(of("stopped")).toHaveLength(1);
  });

  test("Runner.shutdown takes a run that has ended, one that has failed, and none", async () => {
    const gateway = new FakeGateway();
    const ended = await start({ connection: gateway.connection() });
    await ended.run.done;
    await Runner.shutdown(ended.run);

    const refusing = refusingWith(gateway, "WORLD_NOT_FOUND");
    const failed = await start({ connection: refusing });
    await expect(failed.run.done).rejects.toMatchObject({ reason: "WORLD_NOT_FOUND" });
    await Runner.shutdown(failed.run);
    await Runner.shutdown(Promise.reject(new Error("never began")));
    await Runner.shutdown(undefined);
  });
});

describe("a living gateway with WorldService away", () => {
  test("is told as such once, and heals by itself", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const away = { is: false };
    const { run, of } = await start({ connection: withoutWorld(gateway, away) });
    await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");
    gateway.setGate(true, "paper");
    await waitUntil(() => run.status().armed, "the gate open");

    away.is = true;
    await waitUntil(() => of("unreachable").length === 1, "the outage");
    expect(of("unreachable")[0]).toMatch(/^the gateway at \S+ answers, but not all behind it does/);
    expect(of("unreachable")[0]).toContain("WorldService");
    expect(run.status().connection.state).toBe("waiting_for_services");

    away.is = false;
    await waitUntil(() => run.status().connection.state === "connected", "WorldService back");
    expect(of("unreachable")).toHaveLength(1);
  });

  test("that was too busy for heartbeats is connected again with the first it answers; what onEvent throws ends nothing", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const away = { is: false };
    const problems: string[] = [];
    const { run } = await start({
      connection: withoutWorld(gateway, away, "TOO_MANY_REQUESTS"),
      onEvent: () => {
        throw new Error("of the caller");
      },
      onProblem: (problem) => problems.push(problem),
    });
    await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");
    gateway.setGate(true, "paper");
    await waitUntil(() => run.status().armed, "the gate open");

    away.is = true;
    await waitUntil(() => run.status().connection.state === "refused", "the refusal");
    away.is = false;
    await waitUntil(() => run.status().connection.state === "connected", "the answers");

    expect(run.status().connection.problem).toBe("");
    expect(problems).toContain("onEvent failed: Error: of the caller");
  });
});

describe("a living gateway with the DAG Manager away", () => {
  test("is told once when leases are not renewed, and once when the DAG Manager answers again", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const away = { is: false };
    const connection = answering(gateway, QueueService.typeName, "renewLeases", async () => {
      const metadata = { peer: "dag-manager" };
      if (away.is)
        throw new QmtlError("PEER_UNAVAILABLE", "dag-manager does not answer", { metadata });
    });
    const { run, of } = await start({ connection });
    await waitUntil(() => run.status().holderOf > 0, "a lease");
    const connectedBefore = of("connected").length;

    away.is = true;
    await waitUntil(() => of("unreachable").length === 1, "the outage");
    expect(of("unreachable")[0]).toMatch(/^the DAG Manager cannot work \(dag-manager does not/);
    away.is = false;
    await waitUntil(() => of("connected").length > connectedBefore, "the end of the outage");

    expect(of("connected").at(-1)).toBe("the DAG Manager answers again");
    expect(of("unreachable")).toHaveLength(1);
  });
});

describe("a run whose platform came back with less than it had", () => {
  test.each([
    ["TRIMMED", "the log of k ends before what was read of it"],
    ["QUEUE_NOT_FOUND", "no queue for k"],
  ] as const)(
    "ends with %s and says to start it again, so that no feed waits for it",
    async (reason, message) => {
      const gateway = new FakeGateway();
      gateway.advance(historyRows + 2);
      const log = { isGone: false };
      const connection = replacing(gateway, RunnerService.typeName, "attach", (made) => {
        if (!log.isGone) return made();
        return (async function* () {
          yield* [];
          throw new QmtlError(reason, message);
        })();
      });
      const { run, of } = await start({ connection });
      await waitUntil(() => run.status().row === historyRows + 2, "the rows");

      log.isGone = true;
      gateway.setDown(true);
      await waitUntil(() => of("unreachable").length === 1, "the outage");
      gateway.setDown(false);

      await expect(run.done).rejects.toMatchObject({
        reason,
        message: expect.stringMatching(
          new RegExp(`^${message}: .*older backup.*start this run again$`),
        ),
      });
    },
  );

  test("says that its world is gone, and what to do, while its gate is shut", async () => {
    const gateway = new FakeGateway();
    gateway.advance(historyRows + 2);
    const world = { isGone: false };
    const reply = create(HeartbeatReplySchema, { refuseReason: RefuseReason.WORLD_NOT_FOUND });
    const connection = replacing(gateway, ControlStreamService.typeName, "heartbeat", (made) =>
      world.isGone ? Promise.resolve({ reply, unregisteredSources: [] }) : made(),
    );
    const { run, of } = await start({ connection });
    await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");
    gateway.setGate(true, "paper");
    await waitUntil(() => run.status().armed, "the gate open");

    world.isGone = true;
    await waitUntil(() => of("unreachable").length === 1, "the refusal");

    expect(of("unreachable")[0]).toMatch(
      /^WORLD_NOT_FOUND \(there is no world w1\): no order leaves/,
    );
    expect(of("unreachable")[0]).toContain("start this run again");
    expect(run.status().connection.state).toBe("refused");
  });
});

describe("the queues of a tag query", () => {
  test("are asked for at the interval of the configuration, told of a change or not", async () => {
    const gateway = new FakeGateway();
    const asked: number[] = [];
    const connection = answering(gateway, QueueService.typeName, "listQueuesByTag", async () => {
      asked.push(Date.now());
    });
    const config = configOf("sdk: {poll_interval_ms: 100}\n");
    const module = fileURLToPath(import.meta.url);
    const identified = identifyStrategy(new Asker(), { worldId: "w1", module });
    const options = { worldId: "w1", config, connection, loadRows: async () => rows };
    open.push(await runOnline(identified, options));

    await waitUntil(() => asked.length >= 4, "four polls");
  });
});

type OnlyClients = Pick<Connection, "client">;

/** A connection on which each call of one method of one service first waits for `answer`, which may throw. */
function answering(
  gateway: FakeGateway,
  typeName: string,
  method: string,
  answer: () => Promise<void>,
): OnlyClients {
  return replacing(gateway, typeName, method, async (made) => {
    await answer();
    return made();
  });
}

/** A connection on which `answer` replaces each call of one method of one service; it is given the original call. */
function replacing(
  gateway: FakeGateway,
  typeName: string,
  method: string,
  answer: (made: () => unknown) => unknown,
): OnlyClients {
  const inner = gateway.connection();
  return {
    client: <S extends DescService>(service: S): Client<S> => {
      const client = inner.client(service);
      if (service.typeName !== typeName) return client;
      return new Proxy(client, {
        get: (target, name, receiver) => {
          const call: unknown = Reflect.get(target, name, receiver);
          if (name !== method || typeof call !== "function") return call;
          return (...args: unknown[]) => answer(() => Reflect.apply(call, target, args));
        },
      });
    },
  };
}

function refusingWith(gateway: FakeGateway, reason: "WORLD_NOT_FOUND"): OnlyClients {
  return answering(gateway, "qmtl.gateway.v1.GatewayService", "submitStrategy", async () => {
    throw new QmtlError(reason, "no such world");
  });
}

function withoutWorld(
  gateway: FakeGateway,
  away: { readonly is: boolean },
  reason: "PEER_UNAVAILABLE" | "TOO_MANY_REQUESTS" = "PEER_UNAVAILABLE",
): OnlyClients {
  return answering(gateway, ControlStreamService.typeName, "heartbeat", async () => {
    if (away.is) throw new QmtlError(reason, "WorldService gave no answer");
  });
}
