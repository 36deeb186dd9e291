import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isZone, Midnights } from "./midnights.ts";

const hourMs = 3_600_000;
const at = (text: string): number => Date.parse(text);
const text = (ms: number): string => new Date(ms).toISOString();

/** The midnights of a zone after a time. */
function midnights(zone: string, from: string, count: number): string[] {
  const days = new Midnights(zone);
  const found: string[] = [];
  for (let ms = at(from); found.length < count; ) {
    ms = days.after(ms);
    found.push(text(ms));
  }
  return found;
}

describe("a calendar day of a zone begins", () => {
  test("at 00:00 UTC in UTC, and a time that is a midnight is not after itself", () => {
    expect(midnights("UTC", "2024-02-28T00:00:00Z", 2)).toEqual([
      "2024-02-29T00:00:00.000Z",
      "2024-03-01T00:00:00.000Z",
    ]);
  });

  test("at the local 00:00 on both sides of a change of clocks", () => {
    expect(midnights("America/New_York", "2024-03-09T12:00:00Z", 3)).toEqual([
      "2024-03-10T05:00:00.000Z",
      "2024-03-11T04:00:00.000Z",
      "2024-03-12T04:00:00.000Z",
    ]);
    expect(midnights("Asia/Seoul", "2024-03-09T12:00:00Z", 1)).toEqual([
      "2024-03-09T15:00:00.000Z",
    ]);
  });

  test("at the first moment of the day where clocks skip 00:00", () => {
    // 2018-11-04 in São Paulo began at 01:00, 03:00 UTC.
    expect(midnights("America/Sao_Paulo", "2018-11-03T12:00:00Z", 2)).toEqual([
      "2018-11-04T03:00:00.000Z",
      "2018-11-05T02:00:00.000Z",
    ]);
  });

  test("once where clocks go back at 00:00, or a minute after it", () => {
    // In São Paulo at the end of 2018-02-17 back to 23:00; in St. John's at 00:01 of 2010-11-07 back to 23:01.
    expect(midnights("America/Sao_Paulo", "2018-02-17T12:00:00Z", 2)).toEqual([
      "2018-02-18T03:00:00.000Z",
      "2018-02-19T03:00:00.000Z",
    ]);
    expect(midnights("America/St_Johns", "2010-11-06T12:00:00Z", 2)).toEqual([
      "2010-11-07T02:30:00.000Z",
      "2010-11-08T03:30:00.000Z",
    ]);
  });

  test("for every time of the day before alike, asked in any order", () => {
    const days = new Midnights("Europe/Berlin");
    const asked = ["2024-01-02T12:00:00Z", "2024-01-02T23:30:00Z", "2024-01-02T22:59:59Z"];

    expect(asked.map((time) => text(days.after(at(time))))).toEqual([
      "2024-01-02T23:00:00.000Z",
      "2024-01-03T23:00:00.000Z",
      "2024-01-02T23:00:00.000Z",
    ]);
  });

  test("as the slow way finds it: the first minute of a date that was not there before", () => {
    const zones = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"];
    const from = at("1995-01-01T00:00:00Z");
    const span = 30 * 365 * 24 * 60;
    fc.assert(
      fc.property(fc.constantFrom(...zones), fc.nat({ max: span }), (zone, minute) => {
        const startMs = from + minute * 60_000;
        const foundMs = new Midnights(zone).after(startMs);
        const dates = new Intl.DateTimeFormat("en-CA", { timeZone: zone });
        expect(foundMs).toBeGreaterThan(startMs);
        expect(foundMs - startMs).toBeLessThanOrEqual(25 * hourMs);
        expect(dates.format(foundMs)).not.toBe(dates.format(foundMs - 1));
        expect(dates.format(foundMs - 1)).toBe(dates.format(startMs));
      }),
    );
  });
});

test("zones are IANA names that are known", () => {
  for (const zone of ["UTC", "Europe/Berlin", "Etc/GMT+5", "America/Argentina/Buenos_Aires"]) {
    expect(isZone(zone)).toBe(true);
  }
  for (const zone of ["", "Mars/Olympus", "+05:30", "New York", "UTC\n"]) {
    expect(isZone(zone)).toBe(false);
    expect(() => new Midnights(zone)).toThrow(RangeError);
  }
});
