import { QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { DbError, DbUnavailable, UniqueViolation } from "../db/db-errors.ts";
import type { LogFields, Logger } from "../logger.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { OutageLog } from "./outage-log.ts";
import { DATABASE } from "./outage-of.ts";

function recorded() {
  const lines: { level: string; message: string; fields: LogFields | undefined }[] = [];
  const write = (level: string) => (message: string, fields?: LogFields) => {
    lines.push({ level, message, fields });
  };
  const logger: Logger = {
    debug: () => {},
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: () => logger,
  };
  return { logger, lines };
}

const lost = () => new DbUnavailable("connection refused");

test("an outage is one line when it begins and one when it ends, with how much failed in how long", () => {
  const clock = new ManualClock();
  const { logger, lines } = recorded();
  const outages = new OutageLog(logger, clock);
  const database = outages.monitor(DATABASE);
  const quiet = outages.quiet();

  database.failed(lost(), clock.monotonicMs());
  for (let at = 0; at < 1_000; at += 1) {
    database.failed(lost(), clock.monotonicMs());
    quiet.warn("relaying failed; trying again", { error: lost() });
  }
  clock.advance(2_500);
  database.answered();
  database.answered();

  expect(lines).toMatchObject([
    { level: "error", message: "the database does not answer; failures are counted until it does" },
    {
      level: "info",
      message: "the database answers again",
      fields: {
        failedCalls: 1_001,
        downMs: 2_500,
        linesNotWritten: { "relaying failed; trying again": 1_000 },
      },
    },
  ]);
});

test("what is no outage, or is one of something that answers, is logged as ever", () => {
  const { logger, lines } = recorded();
  const outages = new OutageLog(logger, new ManualClock());
  const quiet = outages.quiet();
  outages.monitor(DATABASE).failed(lost(), 0);

  quiet.warn("taken twice", { error: new UniqueViolation("pk", "duplicate key") });
  const silent = new QmtlError("PEER_UNAVAILABLE", "no", { metadata: { peer: "dag-manager" } });
  quiet.warn("a peer", { error: silent });
  quiet.warn("nothing failed");

  expect(lines.map(({ message }) => message).slice(1)).toEqual([
    "taken twice",
    "a peer",
    "nothing failed",
  ]);
});

test("an outage behind other errors is recognised, also by a child of the logger", () => {
  const { logger, lines } = recorded();
  const outages = new OutageLog(logger, new ManualClock());
  outages.monitor(DATABASE).failed(lost(), 0);
  const aborted = new DbError("TRANSACTION_ABORTED", "rolled back", { cause: lost() });

  outages
    .quiet()
    .child({ world: "w" })
    .error("not stored", { failure: new Error("storing", { cause: aborted }) });

  expect(lines).toHaveLength(1);
});

test("a failure that comes in after the end, of a call begun before it, is no new outage", () => {
  const clock = new ManualClock();
  const { logger, lines } = recorded();
  const database = new OutageLog(logger, clock).monitor(DATABASE);
  database.failed(lost(), clock.monotonicMs());
  const beganAtMs = clock.monotonicMs();
  clock.advance(10);
  database.answered();

  database.failed(lost(), beganAtMs);

  expect(lines).toHaveLength(2);
});

test("states say what is down and since when, and listeners hear each change", () => {
  const clock = new ManualClock();
  const outages = new OutageLog(recorded().logger, clock);
  const database = outages.monitor(DATABASE);
  outages.monitor("dag-manager");
  let changes = 0;
  outages.onChange(() => {
    changes += 1;
  });

  database.failed(lost(), 0);
  const down = outages.states();
  database.answered();

  expect(down).toEqual([
    { name: "database", isUp: false, downSinceMs: clock.nowMs() },
    { name: "dag-manager", isUp: true, downSinceMs: undefined },
  ]);
  expect(outages.states().every(({ isUp }) => isUp)).toBe(true);
  expect(changes).toBe(2);
});

test("the loss of the database in a folder is one error that names it, whatever fails after it", () => {
  const clock = new ManualClock();
  const { logger, lines } = recorded();
  const outages = new OutageLog(logger, clock);
  const database = outages.monitorFolder("/data");
  const peer = outages.monitor("world-service");
  expect(outages.states()).toContainEqual({ name: DATABASE, isUp: true, downSinceMs: undefined });

  database.failed(new DbUnavailable("the database worker ended (1)"), clock.monotonicMs());
  peer.failed(new Error("it cannot work"), clock.monotonicMs());
  outages.quiet().error("relaying failed; trying again", { error: lost() });

  expect(lines).toEqual([
    {
      level: "error",
      message: expect.stringMatching(/folder \/data was lost.*nothing that was stored is lost/),
      fields: {
        dependency: DATABASE,
        reason: "DB_UNAVAILABLE",
        why: "the database worker ended (1)",
      },
    },
  ]);
  expect(outages.states().map(({ isUp }) => isUp)).toEqual([false, false]);
});

test("a full disk is one error that names it, whatever fails of it, and one line once nothing fails any more", () => {
  const clock = new ManualClock();
  const { logger, lines } = recorded();
  const quiet = new OutageLog(logger, clock).quiet();
  const full = () => new DbError("SQL_ERROR", "could not extend file", { sqlState: "53100" });

  for (let at = 0; at < 10; at += 1) {
    quiet.warn("control events could not be written; trying again", { error: full() });
    quiet.warn("the bars of a slice are not booked yet", { error: full() });
    clock.advance(1_000);
  }
  clock.advance(10_000);

  expect(lines).toEqual([
    {
      level: "error",
      message:
        "the database cannot do its work: no space left on device (could not extend file); failures are counted until it can",
      fields: { dependency: "database", reason: "SQL_ERROR" },
    },
    {
      level: "info",
      message: "the database can do its work again",
      fields: {
        dependency: "database",
        failedCalls: 20,
        downMs: 9_000,
        linesNotWritten: {
          "control events could not be written; trying again": 10,
          "the bars of a slice are not booked yet": 10,
        },
      },
    },
  ]);
});

test("what fails in a takeover is one plain line each, not errors with stacks", () => {
  const clock = new ManualClock();
  const { logger, lines } = recorded();
  const quiet = new OutageLog(logger, clock).quiet();
  const lead = new QmtlError("NOT_LEADER", "this DAG Manager no longer leads");

  for (let at = 0; at < 6; at += 1) quiet.warn("feed not advanced", { error: lead, source: "s" });
  quiet.error("snapshot of an account not stored", { error: lead });

  const fields = { reason: "NOT_LEADER", why: "this DAG Manager no longer leads" };
  expect(lines).toEqual([
    { level: "info", message: "feed not advanced", fields: { source: "s", ...fields } },
    { level: "info", message: "snapshot of an account not stored", fields },
  ]);
});
