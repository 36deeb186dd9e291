import { describe, expect, test } from "vitest";
import { barsCsv, syntheticBars } from "../generators/synthetic-bars.ts";

describe("synthetic bars", () => {
  test("are the same for the same seed and others for another", () => {
    expect(syntheticBars({ seed: 1 })).toEqual(syntheticBars({ seed: 1 }));
    expect(syntheticBars({ seed: 2 })).not.toEqual(syntheticBars({ seed: 1 }));
  });

  test("are bars: one a weekday in order, and every price between low and high", () => {
    const bars = syntheticBars({ seed: 3, count: 500 });

    expect(bars).toHaveLength(500);
    for (const [k, { date, open, high, low, close }] of bars.entries()) {
      expect(new Date(date).getUTCDay() % 6).not.toBe(0);
      expect(date > (bars[k - 1]?.date ?? "")).toBe(true);
      expect(low).toBeGreaterThan(0);
      expect(low).toBeLessThanOrEqual(Math.min(open, close));
      expect(high).toBeGreaterThanOrEqual(Math.max(open, close));
    }
  });

  test("are written with a header, and with a signal where one is asked for", () => {
    const bars = syntheticBars({ count: 2 });

    expect(barsCsv(bars).split("\n")[0]).toBe("date,open,high,low,close,volume");
    expect(barsCsv(bars, { signal: true })).toMatch(/,signal\n2018-01-01,.*,0\n2018-01-02,.*\n$/);
  });
});
