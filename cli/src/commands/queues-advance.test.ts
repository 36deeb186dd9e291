import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { type OpenServer, openGrpcServer, serve } from "@qmtl/service-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runInProcess } from "./testing/run-in-process.ts";

const day = 86_400_000;
/** Limits of two feeds; the third has none. */
const limits = new Map<string, number | undefined>();
const feed = (source: string, passedMs: number) => {
  const limit = limits.get(source);
  return {
    source,
    passedRow: 9n,
    passedBucketEndTime: timestampFromMs(passedMs),
    ...(limit === undefined ? {} : { untilTime: timestampFromMs(limit) }),
    settled: true,
  };
};

let server: OpenServer;
beforeAll(async () => {
  const queues = serve(QueueService, {
    advanceFeed: async ({ scope, to }) => {
      const source = scope!.scope.value ?? "";
      const limit = limits.get(source);
      if (to.case === "toEnd") limits.set(source, undefined);
      else if (limit !== undefined) limits.set(source, Math.max(limit, timestampMs(to.value!)));
      return { feeds: [feed(source, 40 * day)] };
    },
    listFeeds: async ({ scope }) => {
      const source = scope!.scope.value ?? "";
      // The limited feed has no row exactly at its limit, as on a weekend.
      return { feeds: [feed(source, source === "held" ? 12 * day : 40 * day)] };
    },
  });
  server = await openGrpcServer({ services: [queues] });
});
afterAll(() => server.close());

const advance = (...words: readonly string[]) => {
  limits.clear();
  limits.set("held", 10 * day);
  const url = `http://127.0.0.1:${server.port}`;
  return runInProcess("--gateway-url", url, "queues", "advance", ...words);
};

test("a limit moves to the end of the day that is named", async () => {
  const { out, err } = await advance("held", "--to", "1970-01-15");

  expect(out).toEqual(["held may run up to 1970-01-16T00:00:00.000Z"]);
  expect(err).toEqual([]);
});

test("a limit that is already later is reported, with its time", async () => {
  const { out, err } = await advance("held", "--to", "1970-01-05");

  expect(out).toEqual(["held may run up to 1970-01-11T00:00:00.000Z"]);
  expect(err).toEqual([
    "note: the limit of held is already at 1970-01-11T00:00:00.000Z, and moves only forward",
  ]);
});

test("a feed without a limit does not stop where it was to: that is reported, in JSON as well", async () => {
  const { err, exitCode } = await advance("free", "--to", "1970-01-05", "--wait", "--json");

  expect(exitCode).toBe(0);
  expect(JSON.parse(err[0]!).note).toContain("free has no limit and runs to its end");
  expect((await advance("held", "--end")).err).toEqual([]);
});

test("a feed settles at a day without a row", async () => {
  const { out, exitCode } = await advance("held", "--to", "1970-01-15", "--wait");

  expect(exitCode).toBe(0);
  expect(out).toEqual(["held at row 9, 1970-01-13T00:00:00.000Z"]);
});

test.each(["2021-04-31", "2021-02-30", "Apr 7 2020", "2020-05-06T00:00:00", "yesterday", "2020"])(
  "%s is no time a limit could move to: it is refused, and the limit stays",
  async (text) => {
    const { err, exitCode } = await advance("held", "--to", text);

    expect(exitCode).toBe(2);
    expect(err.join(" ")).toContain(`${text} is not a date or time`);
    expect(limits.get("held")).toBe(10 * day);
  },
);
