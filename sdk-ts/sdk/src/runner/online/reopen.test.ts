import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../../config/index.ts";
import { column, PositionTargetNode, rsi, Strategy, StreamInput } from "../../strategy/index.ts";
import { FakeGateway, replayBars, waitUntil } from "../../testing/index.ts";
import { identifyStrategy } from "../strategy-loading/identify-strategy.ts";
import { runOnline } from "./run-online.ts";
import type { OnlineEvent } from "./session/run-reporter.ts";

const historyRows = 10;
const feedRows = 20;
const rows = replayBars(historyRows, feedRows);

class Wave extends Strategy {
  constructor() {
    super({ defaultInterval: "1d", defaultPeriod: 1 });
  }
  setup(): void {
    const bars = new StreamInput({ source: "feed", columns: ["open", "high", "low", "close"] });
    const signal = rsi(column(bars, "close"), 3);
    const thresholds = { longEnter: 55, longExit: 45, shortEnter: 30, shortExit: 40 };
    this.addNodes([new PositionTargetNode({ signal, instrument: "X", thresholds })]);
  }
}

/** The gateway's clients, counting the control streams that are opened. */
function countingStreams(gateway: FakeGateway) {
  const seen = { streams: 0 };
  const inner = gateway.connection();
  const connection = {
    client<S extends DescService>(service: S): Client<S> {
      const made = inner.client(service);
      if (service.typeName !== ControlStreamService.typeName) return made;
      const subscribe: unknown = Reflect.get(made, "subscribe");
      if (typeof subscribe !== "function") throw new Error("no control stream");
      const counted = (...given: readonly unknown[]): unknown => {
        seen.streams++;
        return Reflect.apply(subscribe, made, given);
      };
      return Object.assign(made, { subscribe: counted });
    },
  };
  return { seen, connection };
}

test("a control stream opened again and again for its age loses no gate event and states nothing twice", async () => {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-reopen-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(
    join(folder, "qmtl.yml"),
    `sources: {feed: {file: feed.csv, interval: 1d}}
instruments: {X: {mark_source: feed, lot: "0.1"}}
accounts: {paper: {instruments: [X]}}
sdk: {stream_total_ms_max: 100}
`,
  );
  const gateway = new FakeGateway();
  gateway.advance(historyRows - 1);
  const { seen, connection } = countingStreams(gateway);
  const events: OnlineEvent[] = [];
  const identified = identifyStrategy(new Wave(), {
    worldId: "w1",
    module: fileURLToPath(import.meta.url),
  });
  const run = await runOnline(identified, {
    worldId: "w1",
    config: loadConfig({ path: join(folder, "qmtl.yml"), env: {} }),
    connection,
    loadRows: async () => rows,
    sessionId: "a",
    onEvent: (event) => events.push(event),
  });
  onTestFinished(() => run.stop());
  await waitUntil(() => gateway.runners.has("a"), "the run in the runner set");

  // The gate opens and shuts at every turn; at every second turn it shuts only after another stream was opened.
  const turns = 5;
  for (let turn = 0; turn < turns; turn++) {
    gateway.setGate(true, "paper");
    await waitUntil(() => run.status().armed, "the open gate");
    const before = seen.streams;
    gateway.advance(historyRows + 4 * turn + 2);
    await waitUntil(() => run.status().row === historyRows + 4 * turn + 2, "the rows");
    if (turn % 2 === 0) await waitUntil(() => seen.streams > before, "another stream");
    gateway.setGate(false, "paper");
    await waitUntil(() => !run.status().armed, "the shut gate");
  }
  gateway.advance(Number.POSITIVE_INFINITY);
  await run.done;

  const stated = gateway.targets.flatMap(({ update: { claim, targets } }) =>
    targets.map(({ bucketEndTime, size }) => ({
      fence: claim?.fence ?? 0n,
      bucketEndMs: timestampMs(bucketEndTime!),
      value: size.value,
    })),
  );
  const at = stated.map(({ fence, bucketEndMs }) => `${bucketEndMs} under ${fence}`);
  expect(stated.length).toBeGreaterThan(turns);
  expect(new Set(at).size).toBe(at.length);
  expect(new Set(stated.map(({ bucketEndMs, value }) => `${bucketEndMs}: ${value}`)).size).toBe(
    new Set(stated.map(({ bucketEndMs }) => bucketEndMs)).size,
  );
  for (const [k, one] of stated.entries()) {
    const last = stated[k - 1] ?? one;
    expect(one.fence >= last.fence && one.bucketEndMs >= last.bucketEndMs).toBe(true);
  }
  const kinds = events.map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === "gate_opened")).toHaveLength(turns);
  expect(kinds.filter((kind) => kind === "gate_shut")).toHaveLength(turns);
  expect(kinds.filter((kind) => kind === "connected")).toHaveLength(1);
  expect(kinds).not.toContain("unreachable");
  expect(run.status().reconnects).toBe(0);
  expect(seen.streams).toBeGreaterThan(turns / 2);
});
