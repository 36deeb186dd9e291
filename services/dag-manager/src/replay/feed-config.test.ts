import { expect, test } from "vitest";
import { feedConfigs } from "./feed-config.ts";

const dayMs = 86_400_000;
const held = (start: string | null, until: string | null) =>
  feedConfigs({ day: { adapter: "csv-replay", start, until } })[0]?.untilMs;

test("a feed is held where its times say, however the configuration may write them", () => {
  expect(held(null, null)).toBeNull();
  expect(held("2020-01-02", "start")).toBe(Date.UTC(2020, 0, 2));
  expect(held("1577923200000", "start")).toBe(Date.UTC(2020, 0, 2));
  expect(held(null, "2020-01-02")).toBe(Date.UTC(2020, 0, 2) + dayMs);
  expect(held(null, "2020-01-02T21:00:00+01:00")).toBe(Date.UTC(2020, 0, 2, 20));
  expect(held(null, "1577923200000")).toBe(Date.UTC(2020, 0, 2));
});
