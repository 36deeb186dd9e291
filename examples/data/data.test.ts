import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeData } from "./make-data.ts";
import { lagShare, type panelSymbols, spellDays, syntheticPanel } from "./synthetic-panel.ts";

/** Moves from close to close; `moves[k]` is that of day `k + 1`. */
function movesOf(symbol: (typeof panelSymbols)[number]): number[] {
  const closes = syntheticPanel()
    .get(symbol)!
    .map(({ close }) => close);
  return closes.slice(1).map((close, k) => close / closes[k]! - 1);
}

function correlation(x: readonly number[], y: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const both = mean(x.map((value, k) => (value - mx) * (y[k]! - my)));
  const square = (values: readonly number[], m: number) =>
    mean(values.map((value) => (value - m) ** 2));
  return both / Math.sqrt(square(x, mx) * square(y, my));
}

describe("the data of the examples", () => {
  test("are what the script makes, to the byte", () => {
    for (const [name, text] of makeData()) {
      expect(readFileSync(join(import.meta.dirname, name), "utf8") === text, name).toBe(true);
    }
  });

  test("are bars: one a weekday in order, every price between low and high", () => {
    for (const bars of syntheticPanel().values()) {
      const wrong = bars.filter(({ date, open, high, low, close }, k) => {
        const isDay = new Date(date).getUTCDay() % 6 !== 0 && date > (bars[k - 1]?.date ?? "");
        return !(isDay && low > 0 && low <= Math.min(open, close) && high >= Math.max(open, close));
      });
      expect(wrong).toEqual([]);
    }
  });

  test("FOLLOW makes a share of LEAD's move one day later, and LEAD nothing of FOLLOW's", () => {
    const [lead, follow] = [movesOf("LEAD"), movesOf("FOLLOW")];
    const later = correlation(lead.slice(0, -1), follow.slice(1));

    expect(later).toBeGreaterThan(0.15);
    expect(later).toBeLessThan(0.3);
    expect(lagShare).toBe(0.2);
    expect(Math.abs(correlation(lead, follow))).toBeLessThan(0.1);
    expect(Math.abs(correlation(follow.slice(0, -1), lead.slice(1)))).toBeLessThan(0.1);
  });

  test("LEAD and PAIR move together in every other spell; SOLO goes its own way", () => {
    const [lead, pair, solo] = [movesOf("LEAD"), movesOf("PAIR"), movesOf("SOLO")];
    for (let spell = 0; spell < 12; spell++) {
      const [from, to] = [spell * spellDays, (spell + 1) * spellDays - 1];
      const together = correlation(lead.slice(from, to), pair.slice(from, to));
      if (spell % 2 === 0) expect(together).toBeGreaterThan(0.85);
      else expect(Math.abs(together)).toBeLessThan(0.3);
    }
    expect(Math.abs(correlation(lead, solo))).toBeLessThan(0.1);
  });
});
