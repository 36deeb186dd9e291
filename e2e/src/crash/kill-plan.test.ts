import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { FAILPOINTS, KILLS_MAX, planKills, planPoints } from "./kill-plan.ts";

const services = fileURLToPath(new URL("../../../services/", import.meta.url));
const sources = readdirSync(services, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
  .filter((file) => !/\.(test|contract|child)\.ts$/.test(file))
  .map((file) => readFileSync(`${services}${file}`, "utf8"));
const planned = new Set(
  Object.values(FAILPOINTS).flatMap((points) => points.map((point) => point.replace(/:\d+$/, ""))),
);

describe("the plan of a crash story", () => {
  test("names every failpoint of the services, and none that is not there", () => {
    const named = sources.flatMap((text) =>
      [...text.matchAll(/failpoints\.hit\("([^"]+)"\)/g)].map((match) => match[1] ?? ""),
    );
    const kinds = sources.flatMap((text) =>
      [...(text.match(/type ProposalKind =([^;]+);/)?.[1]?.matchAll(/"(\w+)"/g) ?? [])].flatMap(
        ([, kind]) => [`w.${kind}.before_commit`, `w.${kind}.after_commit`],
      ),
    );

    expect(kinds).toHaveLength(28);
    expect([...planned].sort()).toEqual([...new Set([...named, ...kinds])].sort());
  });

  test("comes to every failpoint in a soak of 300 deaths", () => {
    const deaths = Array.from({ length: 15 }, (_, k) => planKills(k + 1, 20, 20 * k)).flat();

    const points = new Set(deaths.map(({ failpoint }) => failpoint ?? "random"));
    const all = Object.values(FAILPOINTS).flat();
    expect(deaths).toHaveLength(300);
    expect(all.filter((point) => !points.has(point))).toEqual([]);
    expect(points).toContain("random");
  });

  test("is the same for the same seed and offset, and has a bound", () => {
    expect(planKills(3, 20, 7)).toEqual(planKills(3, 20, 7));
    expect(() => planKills(1, KILLS_MAX + 1, 0)).toThrow(RangeError);
  });

  test("takes failpoints by name, and no unknown ones", () => {
    const [kill, random] = planPoints(1, ["w.switch.after_commit", "random"]);

    expect(kill).toEqual({ deed: "apply", failpoint: "w.switch.after_commit", afterMs: 0 });
    expect(random).toMatchObject({ failpoint: undefined });
    expect(() => planPoints(1, ["w.nothing.before_commit"])).toThrow("no deed reaches");
  });
});
