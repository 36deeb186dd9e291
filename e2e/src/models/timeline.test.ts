import { describe, expect, test } from "vitest";
import type { TimelineOverrides } from "./timeline-owner.ts";
import { searchTimeline } from "./timeline-search.ts";
import type { Story } from "./timeline-story.ts";

const isFull = process.env.QMTL_MODEL === "full";

/** Feed 0 has a row at every slice, feed 1 none at the second one: a holiday, or a longer interval. */
const two: Story = {
  feeds: [
    [1, 2, 3],
    [1, 3],
  ],
  reads: [[0], [0, 1]],
};
const short: Story = { feeds: [[1, 2], [1]], reads: [[0], [0, 1]] };
/** Feed 2 has ended after the second slice. */
const three: Story = { feeds: [[1, 2, 3], [1, 3], [2]], reads: [[0, 2], [1]] };

describe("the slices of a timeline", () => {
  const quick: readonly (readonly [string, Story])[] = [
    ["two feeds, the owner lost, a feed taken over", { ...two, crash: 1, take: 1 }],
    ["three feeds, one of which ends", { ...three, crash: 1 }],
    ["a runner that stops and comes back", { ...short, pause: 1 }],
    ["a runner that dies, and the owner lost", { ...short, die: 1, crash: 1 }],
    [
      "a gate that opens while it is held, the owner lost",
      { ...two, crash: 1, holdAt: 2, openAt: 2 },
    ],
    ["calls that arrive twice", { ...two, copy: 1, crash: 1 }],
    ["rows that are offered ahead", { ...two, runs: true, take: 1 }],
    ["batches, the gate opens at any moment", { ...two, computeOnly: true }],
    [
      "batches up to a hold, where the gate opens, the owner lost",
      { ...two, computeOnly: true, holdAt: 2, openAt: 2, crash: 1 },
    ],
    [
      "batches of three feeds of which one ends, a feed taken over",
      { ...three, computeOnly: true, take: 1 },
    ],
  ];
  const full: readonly (readonly [string, Story])[] = [
    ["the owner lost twice, a feed taken over", { ...two, crash: 2, take: 1 }],
    ["three feeds, the owner lost, a feed taken over", { ...three, crash: 1, take: 1 }],
    [
      "a runner stops and comes back, another dies, the owner lost",
      { ...two, crash: 1, pause: 1, die: 1 },
    ],
    ["both runners stop and come back, the owner lost", { ...two, crash: 1, pause: 2 }],
    [
      "held, the gate opens, the owner lost, calls twice",
      { ...two, crash: 1, holdAt: 2, openAt: 2, copy: 1 },
    ],
    [
      "three runners, calls twice",
      { feeds: two.feeds, reads: [[0], [1], [0, 1]], crash: 1, copy: 1 },
    ],
  ];
  test.each(isFull ? [...quick, ...full] : quick)(
    "are booked whole and in one order, and none is stuck: %s",
    (_, story) => {
      const result = searchTimeline(story);

      expect([result.violation, ...result.trace]).toEqual([null]);
      expect(result.isWhole).toBe(true);
      expect(result.done).toBeGreaterThan(0);
      expect(result.states).toBeGreaterThan(100);
    },
    isFull ? 1_800_000 : 60_000,
  );
});

describe("caught", () => {
  const mutants: readonly (readonly [string, Story, TimelineOverrides])[] = [
    ["a barrier for each feed by itself", two, { perFeed: true }],
    ["the next slice of the feeds that have offered", two, { offeredOnly: true }],
    ["a feed that ends does not say so", three, { silentEnd: true }],
    [
      "a new owner takes its empty list for 'all ended'",
      { ...two, crash: 1 },
      { trustEmpty: true },
    ],
    ["a new owner forgets a slice that lacks rows", { ...two, crash: 1 }, { half: "forget" }],
    [
      "a new owner takes a slice that lacks rows for booked",
      { ...two, crash: 1 },
      { half: "skip" },
    ],
    ["offers of an old lease are kept", { ...two, take: 1 }, { keepOldOffers: true }],
    ["targets are booked in the order they come", two, { arrivalOrder: true }],
    ["the next slice goes before the targets are stored", two, { appendBeforeTargets: true }],
    ["the first end lets the slice pass", two, { firstEndIsEnough: true }],
    ["an end names no slice", { ...two, copy: 1 }, { endWithoutSlice: true }],
    ["a late copy of a call replaces a newer one", { ...two, copy: 1 }, { lastCallWins: true }],
    ["an end is sent once", { ...two, crash: 1 }, { sendOnce: true }],
    ["a lost owner writes without an epoch", { ...two, crash: 1 }, { noEpoch: true }],
    [
      "ends from before the gate opened count",
      { ...two, holdAt: 2, openAt: 2 },
      { noRestate: true },
    ],
    ["a dropped runner is never taken back", { ...short, pause: 1 }, { neverBack: true }],
    [
      "a batch crosses the limit",
      { ...two, computeOnly: true, holdAt: 2, openAt: 2 },
      { batchBeyondLimit: true },
    ],
    [
      "batches go on after the gate opened",
      { ...two, computeOnly: true, holdAt: 1, openAt: 1 },
      { batchAfterOpening: true },
    ],
    [
      "a batch goes beyond the last row that a feed has offered",
      { ...two, computeOnly: true },
      { batchBeyondOffers: true },
    ],
    [
      "a new owner takes a world for one that may only compute",
      { ...two, runs: true },
      { batchUnasked: true },
    ],
  ];

  test.each(mutants)("%s", (_, story, over) => {
    expect(searchTimeline(story, over).violation).not.toBeNull();
  });
});
