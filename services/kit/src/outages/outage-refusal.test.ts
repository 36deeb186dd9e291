import { Code } from "@connectrpc/connect";
import { QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { BusError } from "../bus/event-bus.ts";
import { DbError, DbUnavailable, UniqueViolation, UnknownOutcome } from "../db/db-errors.ts";
import { OUTAGE_RETRY_MS, refusalFrom } from "./outage-refusal.ts";

const lost = new DbUnavailable("connection refused");

test.each<[string, unknown]>([
  ["cannot be reached", lost],
  ["is overloaded", new DbError("DB_OVERLOADED", "1024 calls wait")],
  ["takes too long", new DbError("STATEMENT_TIMEOUT", "canceling statement")],
  ["has a full disk", new DbError("SQL_ERROR", "could not extend file", { sqlState: "53100" })],
  [
    "takes no more connections",
    new DbError("SQL_ERROR", "too many clients", { sqlState: "53300" }),
  ],
  ["is a standby", new DbError("SQL_ERROR", "read-only transaction", { sqlState: "25006" })],
  ["lost a transaction", new DbError("TRANSACTION_ABORTED", "rolled back", { cause: lost })],
  ["failed below something else", new Error("loading world w1", { cause: lost })],
  ["failed below what was taken for a bug", new QmtlError("BUG", "failed", { cause: lost })],
  ["broke off, and asking again is safe", new UnknownOutcome("connection lost during commit")],
])("a database that %s is UNAVAILABLE, with the time to wait", (_, failure) => {
  const error = refusalFrom(failure, true);

  expect(error).toMatchObject({
    reason: "STORE_UNAVAILABLE",
    code: Code.Unavailable,
    retryAfterMs: OUTAGE_RETRY_MS,
  });
});

test("a full disk is named to the caller", () => {
  const full = new DbError("SQL_ERROR", 'could not extend file "base/5/1"', { sqlState: "53100" });

  expect(refusalFrom(full, true).message).toBe(
    'the database cannot do its work: no space left on device (could not extend file "base/5/1"); try again',
  );
});

test("what may have been stored, and must not be done twice, is an unknown outcome", () => {
  const error = refusalFrom(new UnknownOutcome("connection lost during commit"), false);

  expect(error).toMatchObject({ reason: "OUTCOME_UNKNOWN", retryAfterMs: OUTAGE_RETRY_MS });
});

test("a bus that does not answer is UNAVAILABLE; an event that is too large is a bug", () => {
  const down = refusalFrom(new BusError("BUS_UNAVAILABLE", "no broker"), true);
  const large = refusalFrom(new BusError("EVENT_TOO_LARGE", "1 MiB"), true);

  expect(down).toMatchObject({ reason: "PEER_UNAVAILABLE", retryAfterMs: OUTAGE_RETRY_MS });
  expect(large.reason).toBe("BUG");
});

test("a peer that is out says when to ask again, though it did not say so itself", () => {
  const metadata = { peer: "world-service" };
  const error = refusalFrom(new QmtlError("PEER_UNAVAILABLE", "no", { metadata }), true);

  expect(error).toMatchObject({ metadata, retryAfterMs: OUTAGE_RETRY_MS });
});

test("a refusal passes as it is, and a mistake in a statement stays a bug", () => {
  const refusal = new QmtlError("WORLD_NOT_FOUND", "no world w1");

  expect(refusalFrom(refusal, true)).toBe(refusal);
  expect(refusalFrom(new UniqueViolation("pk", "duplicate key"), true).reason).toBe("BUG");
  expect(refusalFrom(new DbError("SQL_ERROR", "syntax", { sqlState: "42601" }), true).reason).toBe(
    "BUG",
  );
});
