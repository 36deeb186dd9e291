import { describe, expect, test } from "vitest";
import {
  bucketEnds,
  bucketOpen,
  bucketsSince,
  calendarNames,
  calendarSeconds,
  canOpenAt,
  laterBucketEnd,
} from "./bar-interval.ts";
import { canonicalNodeText } from "./node-id.ts";

const ms = (name: string): number => calendarSeconds(name)! * 1_000;
const firstMonday = Date.UTC(1600, 0, 3);

describe("calendar intervals", () => {
  test.each(calendarNames)(
    "every bucket of %s ends after it opens, and its end leads back",
    (name) => {
      let openMs = name === "5d" || name === "1w" ? firstMonday : Date.UTC(1600, 0, 1);
      for (let k = 0; k < 5_000 && openMs < Date.UTC(2400, 0, 1); k++) {
        expect(canOpenAt(openMs, ms(name))).toBe(true);
        expect(canOpenAt(openMs + 86_400_000, ms(name))).toBe(false);
        const [endMs] = bucketEnds(Float64Array.of(openMs), ms(name));
        expect(endMs).toBeGreaterThan(openMs);
        expect(bucketOpen(endMs!, ms(name))).toBe(openMs);
        openMs = name === "5d" ? openMs + 604_800_000 : endMs!;
        expect(laterBucketEnd(endMs!, 1, ms(name))).toBe(
          bucketEnds(Float64Array.of(openMs), ms(name))[0],
        );
      }
    },
  );

  test.each([...calendarNames, "4h", "1d"])(
    "bars of %s that have ended since one are counted as they follow it, whole ones alone",
    (name) => {
      const fixed = { "4h": 14_400_000, "1d": 86_400_000 }[name];
      const length = fixed ?? ms(name);
      const openMs = name === "5d" || name === "1w" ? firstMonday : Date.UTC(2000, 0, 1);
      const [endMs] = bucketEnds(Float64Array.of(openMs), length);
      for (const rows of [1, 2, 7, 100]) {
        const laterMs = laterBucketEnd(endMs!, rows, length);
        expect(bucketsSince(endMs!, laterMs, length)).toBe(rows);
        expect(bucketsSince(endMs!, laterMs - 1, length)).toBe(rows - 1);
      }
      expect(bucketsSince(endMs!, endMs!, length)).toBe(0);
      expect(bucketsSince(endMs!, endMs! - 1, length)).toBe(0);
    },
  );

  test("the average length that stands for a month is that of 400 years", () => {
    const days = (Date.UTC(2400, 0, 1) - Date.UTC(2000, 0, 1)) / 86_400_000;

    expect(ms("1mo") * 12 * 400).toBe(days * 86_400_000);
    expect(ms("1y") * 400).toBe(days * 86_400_000);
    expect(ms("1q")).toBe(3 * ms("1mo"));
  });
});

describe("the node id", () => {
  const node = (interval_seconds: number) => ({
    node_type: "StreamInput",
    ...{ interval_seconds, period: 1, params: {}, inputs: [] },
    ...{ schema_compat_id: "f64:close", code_hash: "" },
  });

  test("has the name of an interval without a fixed length in place of its seconds", () => {
    const text = canonicalNodeText(node(calendarSeconds("1mo")!));

    expect(text).toContain('"interval":"1mo"');
    expect(text).not.toContain("interval_seconds");
  });

  test("has the seconds of days and weeks", () => {
    for (const seconds of [86_400, calendarSeconds("5d")!, calendarSeconds("1w")!]) {
      expect(canonicalNodeText(node(seconds))).toContain(`"interval_seconds":${seconds},`);
    }
  });
});
