import { expect, test } from "vitest";
import { silentLogger } from "../logger.ts";
import { waitUntil } from "../testing/wait-until.ts";
import type { Leadership } from "./leadership.ts";
import type { LeadershipStatus } from "./leadership-monitor.ts";
import { LeadershipTracker } from "./leadership-tracker.ts";

/** A leadership that a test wins and loses. */
class FakeLeadership implements Leadership {
  standing: LeadershipStatus = "unsure";
  beganAtMs: number | undefined;
  readonly grantUntilMs = Number.POSITIVE_INFINITY;
  readonly holder = "me";
  #changed = () => {};

  start(onChange: () => void): Promise<void> {
    this.#changed = onChange;
    if (this.standing !== "unsure") onChange();
    return Promise.resolve();
  }

  win(beganAtMs: number): void {
    this.standing = "leads";
    this.beganAtMs = beganAtMs;
    this.#changed();
  }

  /** A renewal that changes nothing. */
  renew(): void {
    this.#changed();
  }

  lose(standing: Exclude<LeadershipStatus, "leads">): void {
    this.standing = standing;
    this.beganAtMs = undefined;
    this.#changed();
  }

  assertLeads(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.lose("standby");
    return Promise.resolve();
  }
}

/** A tracker over a leadership and work that note what happens; `begin` may be made to fail or to wait. */
function tracked() {
  const leadership = new FakeLeadership();
  const notes: string[] = [];
  const begin = { failures: 0, gate: Promise.resolve() };
  const work = {
    async begin() {
      notes.push("begin");
      await begin.gate;
      if (begin.failures > 0) {
        begin.failures -= 1;
        throw new Error("the store does not answer");
      }
    },
    end: async () => void notes.push("end"),
    onStanding: async (standing: LeadershipStatus) => void notes.push(standing),
  };
  const logger = silentLogger;
  const tracker = new LeadershipTracker({ leadership, service: "Ledger", logger, work });
  return { leadership, tracker, notes, begin };
}

/** Keeps the work from beginning until the returned function is called. */
function hold(begin: { gate: Promise<void> }): () => void {
  let letBegin = (): void => {};
  begin.gate = new Promise((resolve) => {
    letBegin = resolve;
  });
  return letBegin;
}

const refusalOf = (tracker: LeadershipTracker): unknown => {
  try {
    tracker.mustLead();
  } catch (refusal) {
    return refusal;
  }
  return undefined;
};

test("a process that waits is told so; its work begins when it wins the lead, and it leads once that is done", async () => {
  const { leadership, tracker, notes, begin } = tracked();
  leadership.standing = "standby";
  await tracker.start();
  expect(refusalOf(tracker)).toMatchObject({ message: "another Ledger leads" });
  const letBegin = hold(begin);
  notes.length = 0;

  leadership.win(1);
  await waitUntil(() => notes.includes("begin"));
  expect(refusalOf(tracker)).toMatchObject({ reason: "NOT_LEADER" });
  expect(notes).not.toContain("leads");
  letBegin();
  await waitUntil(() => tracker.isReady);

  leadership.renew();
  expect(notes).toEqual(["end", "begin", "leads"]);
  await tracker.stop();
  expect(new Set(notes.slice(3))).toEqual(new Set(["end"]));
});

test("work that could not begin is tried again at the next renewal, and nobody is told of another leader meanwhile", async () => {
  const { leadership, tracker, notes, begin } = tracked();
  await tracker.start();
  begin.failures = 1;
  leadership.win(1);
  await waitUntil(() => begin.failures === 0 && tracker.standing === "unsure");
  expect(refusalOf(tracker)).toMatchObject({ reason: "STORE_UNAVAILABLE" });

  leadership.renew();
  await waitUntil(() => tracker.isReady);

  expect(refusalOf(tracker)).toBeUndefined();
  expect(notes.filter((note) => note === "leads")).toHaveLength(1);
  await tracker.stop();
});

test("after an outage the process stays unsure until its work has begun again", async () => {
  const { leadership, tracker, notes, begin } = tracked();
  leadership.standing = "leads";
  leadership.beganAtMs = 1;
  await tracker.start();
  expect(tracker.isReady).toBe(true);
  leadership.lose("unsure");
  await waitUntil(() => notes.includes("unsure"));
  const letBegin = hold(begin);

  leadership.win(2);
  await waitUntil(() => notes.filter((note) => note === "begin").length === 2);
  expect(refusalOf(tracker)).toMatchObject({ reason: "STORE_UNAVAILABLE" });
  letBegin();

  await waitUntil(() => tracker.isReady);
  await tracker.stop();
});

test("a lead that was lost while its work began ends that work", async () => {
  const { leadership, tracker, notes, begin } = tracked();
  await tracker.start();
  const letBegin = hold(begin);
  leadership.win(1);
  await waitUntil(() => notes.includes("begin"));

  leadership.lose("standby");
  letBegin();

  await waitUntil(() => notes.at(-1) === "standby");
  expect(tracker.isReady).toBe(false);
  expect(notes.slice(-2)).toEqual(["end", "standby"]);
  await tracker.stop();
});
