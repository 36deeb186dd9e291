import { expect, it } from "vitest";
import { createLogger, REDACTED, redact, silentLogger } from "./logger.ts";

function captured() {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  return { lines, destination };
}

it("writes one JSON object a line with level, name, message and fields", () => {
  const { lines, destination } = captured();
  const log = createLogger({ name: "gateway", destination }).child({ world: "w1" });
  log.info("listening", { port: 7400, at: new Date(0), bytes: new Uint8Array(3), n: 1n });
  log.debug("not at this level");
  expect(lines).toEqual([
    {
      level: "info",
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      name: "gateway",
      world: "w1",
      message: "listening",
      port: 7400,
      at: "1970-01-01T00:00:00.000Z",
      bytes: "[3 bytes]",
      n: "1",
    },
  ]);
});

it("says each thing once in a line", () => {
  const lines: string[] = [];
  createLogger({ name: "x", destination: { write: (line) => void lines.push(line) } }).info("up");
  expect(lines[0]?.match(/"name"/g)).toHaveLength(1);
});

it("never writes a secret, at any depth, in fields, child fields, lists, maps and errors", () => {
  const { lines, destination } = captured();
  const log = createLogger({ name: "x", level: "debug", destination }).child({ token: "S3CRET" });
  const cause = Object.assign(new Error("inner"), { dsn: "S3CRET" });
  const error = Object.assign(new Error("outer", { cause }), { apiToken: "S3CRET" });
  log.error("failed", {
    error,
    password: "S3CRET",
    Authorization: { scheme: "S3CRET" },
    deep: { list: [{ clientSecret: "S3CRET" }, new Map([["api_key", "S3CRET"]])] },
  });
  const text = JSON.stringify(lines);
  expect(text).not.toContain("S3CRET");
  expect(text.split(REDACTED)).toHaveLength(8);
  expect(lines[0]).toMatchObject({
    error: { name: "Error", message: "outer", cause: { message: "inner" } },
  });
});

it("leaves keys alone that only contain such a word, and missing secrets missing", () => {
  expect(redact({ tokens_used: 3, secretary: "Ann", token: undefined, password: null })).toEqual({
    tokens_used: 3,
    secretary: "Ann",
    token: undefined,
    password: null,
  });
});

it("cuts what is too deep, also what contains itself", () => {
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  expect(JSON.stringify(redact(loop))).toContain("[cut]");
  silentLogger.child({}).info("nothing", loop);
});
