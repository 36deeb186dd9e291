import { createClient, createRouterTransport } from "@connectrpc/connect";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { afterEach, describe, expect, test } from "vitest";
import { ManualClock, waitUntil } from "../testing/index.ts";
import { ControlSession, OrderGate } from "./index.ts";

const schemaVersion = { min: 1, max: 1, version: 1 };

/** A session on a control stream that says one thing and then nothing. */
function session(times: { readonly silenceMsMax?: number; readonly totalMsMax?: number | null }) {
  const clock = new ManualClock();
  const told: string[] = [];
  const seen = { streams: 0, tickets: 0, isDown: false };
  const transport = createRouterTransport(({ service }) => {
    service(ControlStreamService, {
      issueTicket: () => {
        seen.tickets++;
        if (seen.isDown) throw new Error("down");
        return { schemaVersion, ticket: "t" };
      },
      async *subscribe(_request, { signal }) {
        seen.streams++;
        yield { schemaVersion };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
  });
  const ids = { sessionId: "a", worldId: "w", strategyId: "s" };
  const made = new ControlSession({
    ...ids,
    ...times,
    control: createClient(ControlStreamService, transport),
    clock,
    gate: new OrderGate(clock, ids),
    listener: {
      onGate: () => {},
      onSwap: () => {},
      onTags: () => {},
      onHeartbeat: () => {},
      onConnected: () => told.push("connected"),
      onLost: () => told.push("lost"),
    },
  });
  made.start();
  open.push(made);
  /** Lets time pass in steps shorter than any wait here, so that what is due happens in order. */
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 500) {
      clock.advance(500);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { made, clock, told, seen, pass };
}

const open: ControlSession[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.stop()));
});

describe("a control session", () => {
  test("takes a silent stream for broken after the time it was given, and opens another", async () => {
    const { told, seen, pass } = session({ silenceMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");

    await pass(5_000);
    expect(told).toEqual(["connected"]);
    await pass(1_000);
    expect(told).toEqual(["connected", "lost"]);

    await pass(1_500);
    await waitUntil(() => told.length === 3, "the second stream");
    expect(seen.streams).toBe(2);
  });

  test("is patient for 6 s when it was given no time", async () => {
    const { told, pass } = session({});
    await waitUntil(() => told.length === 1, "the first stream");

    await pass(6_000);
    expect(told).toEqual(["connected"]);
    await pass(1_000);
    expect(told).toEqual(["connected", "lost"]);
  });

  test("opens its stream again when it is old, which is no loss", async () => {
    const { told, seen, pass } = session({ totalMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");

    await pass(6_500);
    await waitUntil(() => seen.streams === 2, "the second stream");
    await pass(1_000);

    expect(told).toEqual(["connected"]);
  });

  test("an old stream that cannot be opened again is a loss, tried again with growing waits", async () => {
    const { told, seen, pass } = session({ totalMsMax: 5_000 });
    await waitUntil(() => told.length === 1, "the first stream");
    seen.isDown = true;
    open[0]!.dropTicket();
    await waitUntil(() => told.length === 2, "the loss");
    const before = seen.tickets;

    await pass(16_000);

    expect(told.slice(0, 2)).toEqual(["connected", "lost"]);
    // After 1, 2, 4 and 8 s.
    expect(seen.tickets - before).toBeGreaterThanOrEqual(3);
    expect(seen.tickets - before).toBeLessThanOrEqual(5);

    seen.isDown = false;
    await pass(9_000);
    await waitUntil(() => told.at(-1) === "connected", "the stream again");
    expect(told.filter((each) => each === "connected")).toHaveLength(2);
  });

  test("leaves no timer when it is stopped, also twice and before its first answer", async () => {
    const { made, clock } = session({});
    await Promise.all([made.stop(), made.stop()]);
    expect(clock.timers).toBe(0);

    const later = session({});
    await waitUntil(() => later.told.length === 1, "the stream");
    await later.made.stop();
    expect(later.clock.timers).toBe(0);
  });
});
