import { createServer } from "node:http";
import { loadConfig } from "@qmtl/sdk/config";
import { freePorts } from "@qmtl/service-kit/testing";
import { describe, expect, test } from "vitest";
import { checkClock, readGatewayClock } from "./check-clock.ts";

const now = Date.UTC(2026, 5, 1);
const reading = (of: string, offsetMs: number) => ({ of, theirMs: now + offsetMs, ourMs: now });

describe("the clock", () => {
  test("is right as long as nobody says otherwise", () => {
    expect(checkClock(now, [])).toMatchObject({ status: "ok" });
    expect(checkClock(now, [reading("a", 1_900), reading("b", -200)])).toMatchObject({
      status: "ok",
      detail: expect.stringContaining("a is 1.9 s ahead"),
    });
  });

  test("is reported when another clock differs, by the one that differs most", () => {
    expect(checkClock(now, [reading("a", 100), reading("b", -5_000)])).toMatchObject({
      status: "warning",
      detail: expect.stringContaining("b is 5.0 s behind"),
      fix: expect.stringContaining("chrony"),
    });
    expect(checkClock(now, [reading("a", 31_000)]).status).toBe("error");
  });

  test("is wrong when it shows a time before the program was made", () => {
    expect(checkClock(0, []).status).toBe("error");
  });
});

describe("the gateway's clock", () => {
  test("is read from its HTTP server, to the second", async () => {
    const [port] = await freePorts(1);
    const config = loadConfig({ env: { QMTL__GATEWAY__WEB_PORT: String(port) } });
    const theirs = new Date(Date.UTC(2026, 5, 1, 12, 0, 7)).toUTCString();
    const server = createServer((_request, response) => response.setHeader("date", theirs).end());
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));

    const read = await readGatewayClock(config, () => now);
    await new Promise((resolve) => server.close(resolve));

    expect(read).toEqual({ of: "the gateway", theirMs: Date.parse(theirs) + 500, ourMs: now });
    expect(await readGatewayClock(config, () => now)).toBeUndefined();
  });
});
