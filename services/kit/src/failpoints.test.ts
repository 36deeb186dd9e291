import { describe, expect, test } from "vitest";
import { Failpoints } from "./failpoints.ts";

function armed(spec: string | undefined, testMode = true) {
  let deaths = 0;
  const points = new Failpoints();
  points.arm({ spec, testMode, die: () => (deaths += 1) });
  return { points, deaths: () => deaths };
}

/** True when the promise is resolved by the time other work had its turn. */
async function resolves(work: Promise<void>): Promise<boolean> {
  const pending = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
  return Promise.race([work.then(() => true), pending]);
}

describe("failpoints", () => {
  test("nothing is armed unless named", async () => {
    const { points, deaths } = armed(undefined, false);
    expect(await resolves(points.hit("w.freeze.before_commit"))).toBe(true);
    expect(deaths()).toBe(0);
  });

  test("the process dies at the n-th hit of that name only, and nothing after it runs", async () => {
    const { points, deaths } = armed("w.freeze.before_commit:2");
    await points.hit("w.freeze.after_commit");
    await points.hit("w.freeze.before_commit");
    expect(deaths()).toBe(0);

    expect(await resolves(points.hit("w.freeze.before_commit"))).toBe(false);
    expect(deaths()).toBe(1);
  });

  test("several may be armed; n defaults to 1", async () => {
    const { points, deaths } = armed("a.b, c.d:3");
    expect(await resolves(points.hit("a.b"))).toBe(false);
    expect(deaths()).toBe(1);
    expect(await resolves(points.hit("c.d"))).toBe(true);
  });

  test("armed outside test mode the start is refused", () => {
    expect(() => armed("a.b", false)).toThrow(
      expect.objectContaining({ reason: "FAILPOINT_REFUSED" }),
    );
  });

  test.each(["a.b:0", "a.b:", ":2", "A.b", "a.b:1x", "a.b,,"])("%s cannot be read", (spec) => {
    expect(() => armed(spec)).toThrow(expect.objectContaining({ reason: "CONFIG_INVALID" }));
  });
});
