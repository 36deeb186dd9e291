import { QmtlError } from "@qmtl/sdk/errors";
import { afterEach, expect, test, vi } from "vitest";
import { printFailure } from "./print.ts";

afterEach(() => vi.restoreAllMocks());

/** The lines in which a failure is printed. */
function told(failure: unknown): string[] {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  printFailure(failure, false);
  return error.mock.calls.map(([line]) => String(line));
}

const pattern = "does not match regex pattern `^[a-z0-9][a-z0-9_-]{0,62}$`";

test("a field that the message repeats is printed once, and a pattern in words", () => {
  const failure = new QmtlError("INVALID_FIELD", `world.world_id: ${pattern}`, {
    fields: [{ field: "world.world_id", description: pattern }],
  });

  expect(told(failure)).toEqual([
    "error: world.world_id: takes lower-case letters, digits, _ and -: at most 63 characters, the first a letter or digit [INVALID_FIELD]",
  ]);
});

test("a port that is taken names its key, and a service that does not answer how it is started", () => {
  const taken = new QmtlError("PORT_TAKEN", "port 9464 on 127.0.0.1 is in use", {
    metadata: { key: "telemetry.metrics_port", host: "127.0.0.1", port: "9464" },
  });
  const silent = new QmtlError("PEER_UNAVAILABLE", "world-service does not answer", {
    metadata: { peer: "world-service" },
  });

  expect(told(taken)[1]).toContain("telemetry.metrics_port");
  expect(told(silent).at(-1)).toMatch(/^hint: start it: `qmtl service world-service`/);
});

test("a call whose outcome is not known says what may be repeated", () => {
  const late = new QmtlError("OUTCOME_UNKNOWN", "no answer within 10 s");

  expect(told(late)[1]).toMatch(/^hint: .*one that only reads may be repeated/);
});

test("several fields have a line each, and the message does not repeat them", () => {
  const failure = new QmtlError("POLICY_INVALID", '2:1 unknown key "a"; 3:1 unknown key "b"', {
    fields: [
      { field: "document:2:1 a", description: 'POLICY_INVALID: unknown key "a"' },
      { field: "document:3:1 b", description: 'POLICY_INVALID: unknown key "b"' },
    ],
  });

  expect(told(failure)).toEqual([
    "error: 2 problems were found [POLICY_INVALID]",
    '  document:2:1 a: unknown key "a"',
    '  document:3:1 b: unknown key "b"',
  ]);
});

test("a field that says more than the message is kept", () => {
  const failure = new QmtlError("INVALID_FIELD", "the world is not valid", {
    fields: [{ field: "world.source", description: "a replay world needs a source" }],
  });

  expect(told(failure)).toEqual([
    "error: the world is not valid [INVALID_FIELD]",
    "  world.source: a replay world needs a source",
  ]);
});

test("a message that says more than its fields is kept beside them", () => {
  const failure = new QmtlError("CONFIG_INVALID", "storage.kind must be postgres; or: qmtl up", {
    fields: [{ field: "storage.kind", description: "must be postgres" }],
  });

  expect(told(failure)).toEqual([
    "error: storage.kind must be postgres; or: qmtl up [CONFIG_INVALID]",
    "  storage.kind: must be postgres",
  ]);
});

test("what the system refused is printed with the file first", () => {
  const failure = new Error("EACCES: permission denied, mkdir '/srv/data'");

  expect(told(failure)).toEqual(["error: /srv/data: permission denied"]);
});

test("an apply that skips a stage gets the stage that comes next", () => {
  const message =
    "stages rise one at a time: the world is at compute-only, and paper comes before live";
  const metadata = { stage: "compute-only", next: "paper" };

  expect(told(new QmtlError("MODE_NOT_REACHABLE", message, { metadata }))).toEqual([
    `error: ${message} [MODE_NOT_REACHABLE]`,
    "hint: one stage at a time: `qmtl world apply WORLD --run ID --to paper` comes first",
  ]);
});
