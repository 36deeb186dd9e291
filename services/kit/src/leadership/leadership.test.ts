import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { sleep, systemClock } from "../clock.ts";
import type { Db, PgliteHost } from "../db/index.ts";
import { silentLogger } from "../logger.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { openTestPglite } from "../testing/open-test-pglite.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { notLeading, RowLeadership, type RowLeadershipOptions } from "./leadership.ts";

const leaderMs = 60_000;
const renewMs = 1_000;
const table = {
  table: "dag.who_leads",
  only: "one",
  holder: "who",
  epoch: "term",
  expires: "until",
};

let host: PgliteHost;
let db: Db;
let clock: ManualClock;
beforeAll(async () => {
  host = await openTestPglite();
  db = host.db("dag");
});
afterAll(() => host.close());
beforeEach(async () => {
  clock = new ManualClock();
  await db.script(`drop schema if exists dag cascade; create schema dag;
    create table dag.who_leads (one boolean primary key default true check (one), who text not null,
      term bigint not null, until timestamptz not null)`);
});

function leadership(holder: string, more: Partial<RowLeadershipOptions> = {}): RowLeadership {
  const own = { db, clock, logger: silentLogger, service: "Ledger", table, leaderMs, renewMs };
  const made = new RowLeadership({ ...own, holder, ...more });
  onTestFinished(() => made.stop());
  return made;
}

/** The database of a process that is cut off from it at times. */
function cutOff(): Db & { isCut: boolean } {
  return {
    isCut: false,
    kind: db.kind,
    schema: db.schema,
    query(sql, params) {
      return this.isCut ? Promise.reject(new Error("no answer")) : db.query(sql, params);
    },
    script: (sql) => db.script(sql),
    transaction: (fn, options) => db.transaction(fn, options),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

const assertLeads = (one: RowLeadership) => db.transaction((tx) => one.assertLeads(tx));

test("one process leads at a time; the one that waits takes over when the lead is given up", async () => {
  const [first, second] = [leadership("first"), leadership("second")];
  await first.start(() => {});
  await second.start(() => {});
  expect([first.standing, second.standing]).toEqual(["leads", "standby"]);
  await assertLeads(first);
  await expect(assertLeads(second)).rejects.toMatchObject({
    reason: "NOT_LEADER",
    message: "this Ledger no longer leads",
  });

  await first.stop();
  clock.advance(renewMs);
  await waitUntil(() => second.standing === "leads");

  await assertLeads(second);
  await expect(assertLeads(first)).rejects.toMatchObject({ reason: "NOT_LEADER" });
});

test("a process that waits looks as soon as the leader's time is over, not only at its next renewal", async () => {
  const first = leadership("first", { leaderMs: 1 });
  const second = leadership("second", { renewMs: 600_000 });
  await first.start(() => {});
  await db.query("update dag.who_leads set until = now() + interval '200 milliseconds'");
  await second.start(() => {});
  expect(second.standing).toBe("standby");

  await sleep(systemClock, 220);
  clock.advance(202);

  await waitUntil(() => second.standing === "leads");
});

test("a leader that stood still past its time and is alone takes the lead anew, in a higher epoch", async () => {
  const only = leadership("only");
  const began: (number | undefined)[] = [];
  await only.start(() => began.push(only.beganAtMs));
  await db.query("update dag.who_leads set until = now() - interval '1 second'");
  await expect(assertLeads(only)).rejects.toMatchObject({ reason: "NOT_LEADER" });

  clock.advance(renewMs);
  await waitUntil(() => began.length === 2);

  await assertLeads(only);
  expect(began).toEqual([0, renewMs]);
  expect(await db.query("select term from dag.who_leads")).toEqual([{ term: 2 }]);
});

test("a leader goes on through a renewal that fails until its own time is over, then it is unsure", async () => {
  const apart = cutOff();
  const only = leadership("only", { db: apart });
  await only.start(() => {});
  const until = leaderMs - 100;
  expect(only.grantUntilMs).toBe(until);

  apart.isCut = true;
  clock.advance(renewMs);
  await new Promise((resolve) => setImmediate(resolve));
  expect([only.standing, only.grantUntilMs]).toEqual(["leads", until]);
  await waitUntil(() => {
    clock.advance(renewMs);
    return only.standing !== "leads";
  });

  expect(only.standing).toBe("unsure");
  expect(only.beganAtMs).toBeUndefined();
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(until);
});

test("one that may not go on unrenewed is unsure at the first renewal that fails, and leads anew after it", async () => {
  const apart = cutOff();
  const only = leadership("only", { db: apart, unrenewedMs: 0 });
  await only.start(() => {});
  apart.isCut = true;
  clock.advance(renewMs);
  await waitUntil(() => only.standing === "unsure");

  apart.isCut = false;
  clock.advance(renewMs);

  await waitUntil(() => only.standing === "leads");
  expect(only.beganAtMs).toBe(2 * renewMs);
});

test("a process says that another one leads only where the database said so", () => {
  expect(notLeading("standby", "Ledger")).toMatchObject({
    reason: "NOT_LEADER",
    message: "another Ledger leads",
  });
  expect(notLeading("leads", "Ledger")).toMatchObject({ reason: "NOT_LEADER" });
  expect(notLeading("unsure", "Ledger")).toMatchObject({ reason: "STORE_UNAVAILABLE" });
});
