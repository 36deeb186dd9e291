import { QmtlError } from "@qmtl/sdk/rpc";
import { createMetrics, silentLogger } from "@qmtl/service-kit";
import { ManualClock } from "@qmtl/service-kit/testing";
import { expect, test } from "vitest";
import { type SignalGap, SignalGaps } from "./signal-gaps.ts";

const gap = (strategy: string, buckets: number, instrument = "X"): SignalGap => {
  return { strategy, instrument, buckets, target: `target(${instrument})`, source: "y" };
};

const session = (sessionId: string, worldId = "w") => ({ sessionId, worldId });

/** Gaps of worlds "w" and "v", and what WorldService says of their bindings. */
function opened() {
  const clock = new ManualClock();
  const metrics = createMetrics();
  const bound = new Map([
    ["w", new Set(["s-1", "s-2"])],
    ["v", new Set(["s-1"])],
  ]);
  const world = { isDown: false, asked: [] as string[], answer: Promise.resolve() };
  const open = () =>
    new SignalGaps({
      metrics,
      clock,
      logger: silentLogger,
      peer: {
        bound: async (worldId) => {
          world.asked.push(worldId);
          const known = bound.get(worldId);
          const said = new Set(known);
          await world.answer;
          if (world.isDown) throw new QmtlError("PEER_UNAVAILABLE", "down for a test");
          if (known === undefined) throw new QmtlError("WORLD_NOT_FOUND", `no world ${worldId}`);
          return said;
        },
      },
    });
  const gaps = open();
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
  const series = async (): Promise<string[]> => {
    await settled();
    const lines = (await metrics.metricsText()).split("\n");
    return lines.filter((line) => line.startsWith("signal_stale{"));
  };
  const pass = async (ms: number): Promise<void> => {
    for (let passedMs = 0; passedMs < ms; passedMs += 1_000) {
      clock.advance(1_000);
      await settled();
    }
  };
  return { gaps, open, bound, world, clock, series, pass };
}

const line = (strategy: string, buckets: number, world = "w"): string =>
  `signal_stale{world="${world}",strategy="${strategy}"} ${buckets}`;

test("a strategy that has had no signal for days has a series, the longest of its targets, until it has one again", async () => {
  const { gaps, series } = opened();

  gaps.stated(session("a"), ["s-1", "s-2"], [gap("s-1", 5), gap("s-1", 72, "Y")]);
  expect(await series()).toEqual([line("s-1", 72)]);
  expect((await gaps.of("w", "s-1")).map(({ instrument }) => instrument)).toEqual(["X", "Y"]);
  gaps.stated(session("a"), ["s-2"], [gap("s-2", 6)]);
  gaps.stated(session("a"), ["s-1"], []);

  expect(await series()).toEqual([line("s-2", 6)]);
  expect(await gaps.of("w", "s-1")).toEqual([]);
  expect(await gaps.of("v", "s-2")).toEqual([]);
});

test("beyond 500 series more strategies are explained, and have none", async () => {
  const { gaps, bound, series } = opened();
  const ids = Array.from({ length: 501 }, (_, at) => `s-${at}`);
  bound.set("w", new Set(ids));

  gaps.stated(
    session("a"),
    ids,
    ids.map((id) => gap(id, 9)),
  );

  expect(await series()).toHaveLength(500);
  expect(await gaps.of("w", "s-500")).toHaveLength(1);
});

test("a run that has ended leaves no gap behind, and those of other runs stay", async () => {
  const { gaps, series } = opened();
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);
  gaps.stated(session("b"), ["s-2"], [gap("s-2", 7)]);
  gaps.stated(session("c", "v"), ["s-1"], [gap("s-1", 5)]);

  gaps.ended("a");

  expect((await series()).toSorted()).toEqual([line("s-1", 5, "v"), line("s-2", 7)]);
  expect(await gaps.of("w", "s-1")).toEqual([]);
});

test("of two runs of a strategy the end of one leaves what the other says", async () => {
  const { gaps, series } = opened();
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 72)]);
  gaps.stated(session("b"), ["s-1"], [gap("s-1", 5)]);
  expect(await series()).toEqual([line("s-1", 72)]);

  gaps.ended("a");

  expect(await series()).toEqual([line("s-1", 5)]);
  gaps.stated(session("b"), ["s-1"], []);
  expect(await series()).toEqual([]);
});

test("a run that was killed leaves its gaps behind for half a minute; one that sends heartbeats keeps them", async () => {
  const { gaps, clock, series, pass } = opened();
  gaps.stated(session("killed"), ["s-1"], [gap("s-1", 9)]);
  gaps.stated(session("alive"), ["s-2"], [gap("s-2", 9)]);
  const beat = { sessionId: "alive", strategyIds: ["s-2"] };

  for (let at = 0; at < 29; at++) {
    gaps.heard(beat);
    await pass(1_000);
  }
  expect(await series()).toHaveLength(2);
  for (let at = 0; at < 600; at++) {
    gaps.heard(beat);
    await pass(1_000);
    if (at === 6) expect(await series()).toEqual([line("s-2", 9)]);
  }

  expect(await series()).toEqual([line("s-2", 9)]);
  gaps.ended("alive");
  await pass(10_000);
  expect(clock.timersPending).toBe(0);
});

test("a strategy that was taken out of its worker has no gap once the worker's ticket covers it no more", async () => {
  const { gaps, series } = opened();
  gaps.stated(session("a"), ["s-1", "s-2"], [gap("s-1", 9), gap("s-2", 7)]);
  gaps.heard({ sessionId: "a", strategyIds: ["s-1", "s-2"] });
  expect(await series()).toHaveLength(2);

  gaps.heard({ sessionId: "a", strategyIds: ["s-2"] });

  expect(await series()).toEqual([line("s-2", 7)]);
  expect(await gaps.of("w", "s-1")).toEqual([]);
});

test("a strategy that is unbound is told of no more, although its runner goes on, and again once it is bound", async () => {
  const { gaps, bound, series } = opened();
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);
  expect(await series()).toEqual([line("s-1", 9)]);

  bound.get("w")!.delete("s-1");
  gaps.bindingsChanged("w");
  expect(await gaps.of("w", "s-1")).toEqual([]);
  for (const buckets of [10, 11, 12]) {
    gaps.stated(session("a"), ["s-1"], [gap("s-1", buckets)]);
    expect(await series()).toEqual([]);
  }
  bound.get("w")!.add("s-1");
  gaps.bindingsChanged("w");

  expect(await series()).toEqual([line("s-1", 12)]);
});

test("a strategy that was unbound, or whose world was deleted, by another gateway is told of no more after seconds", async () => {
  const { gaps, bound, series, pass } = opened();
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);
  gaps.stated(session("b", "v"), ["s-1"], [gap("s-1", 9)]);
  expect(await series()).toHaveLength(2);

  bound.get("w")!.delete("s-1");
  bound.delete("v");
  await pass(6_000);

  expect(await series()).toEqual([]);
});

test("what an unbound strategy's runner reports after a restart is never told", async () => {
  const { gaps, open, bound, series } = opened();
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);
  expect(await series()).toHaveLength(1);
  gaps.close();
  expect(await series()).toEqual([]);
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);
  expect(await series()).toEqual([]);
  bound.get("w")!.delete("s-1");

  const next = open();
  next.stated(session("a"), ["s-1"], [gap("s-1", 10)]);
  const told = next.of("w", "s-1");

  expect(await told).toEqual([]);
  expect(await series()).toEqual([]);
});

test("a strategy that is bound while the bindings are read is told of", async () => {
  const { gaps, bound, world, series } = opened();
  let answer: () => void = () => {};
  world.answer = new Promise((resolve) => {
    answer = resolve;
  });
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);
  expect(await series()).toEqual([]);
  bound.get("w")!.add("s-3");
  gaps.stated(session("b"), ["s-3"], [gap("s-3", 8)]);
  const told = gaps.of("w", "s-3");

  answer();

  expect(await told).toHaveLength(1);
  expect(world.asked).toEqual(["w", "w"]);
  expect((await series()).toSorted()).toEqual([line("s-1", 9), line("s-3", 8)]);
});

test("while WorldService does not answer, a gap is told, and one of an unbound strategy is not told again", async () => {
  const { gaps, bound, world, series, pass } = opened();
  bound.get("w")!.delete("s-2");
  gaps.stated(session("a"), ["s-2"], [gap("s-2", 9)]);
  expect(await series()).toEqual([]);
  world.isDown = true;

  gaps.stated(session("b"), ["s-1"], [gap("s-1", 9)]);
  await pass(6_000);

  expect(await series()).toEqual([line("s-1", 9)]);
  bound.get("w")!.delete("s-1");
  world.isDown = false;
  await pass(6_000);
  expect(await series()).toEqual([]);
});

test("a runner that reports at every row does not have the bindings read each time", async () => {
  const { gaps, bound, world, series } = opened();
  bound.get("w")!.delete("s-2");
  for (let row = 0; row < 1_000; row++)
    gaps.stated(session("a"), ["s-1", "s-2"], [gap("s-1", row), gap("s-2", row)]);

  await series();

  expect(world.asked.length).toBeLessThanOrEqual(3);
});

test("gaps that are more than are kept are not told, and those of others are", async () => {
  const { gaps, series } = opened();
  const many = Array.from({ length: 100_000 }, (_, at) => gap("s-2", 9, `I${at}`));
  gaps.stated(session("a"), ["s-1"], [gap("s-1", 9)]);

  gaps.stated(session("b"), ["s-2"], many);
  expect(await series()).toEqual([line("s-1", 9)]);
  gaps.ended("a");
  gaps.stated(session("b"), ["s-2"], many);

  expect(await series()).toEqual([line("s-2", 9)]);
});
