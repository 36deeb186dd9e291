import { describe, expect, test } from "vitest";
import { lastMsOption, limitOption, parseTimeText, rowsBefore, timeOption } from "./parse-time.ts";

const march5 = Date.UTC(2024, 2, 5);

describe("a time that a person writes", () => {
  test.each([
    ["2024-03-05", march5],
    ["2024-03-05T00:00:00Z", march5],
    ["2024-03-05 09:00:00+09:00", march5],
    ["1709596800", march5],
    ["1709596800000", march5],
    ["1970-01-01", 0],
    ["1929-10-29", Date.UTC(1929, 9, 29)],
  ])("%s is understood", (text, ms) => {
    expect(parseTimeText(text)).toBe(ms);
  });

  test.each([
    "202403050000",
    "20240305000000",
    "2024030500",
    "20240305",
    "170959680",
    "17095968000000",
    "0",
    "-1709596800000",
    "2024-03-05T00:00:00",
    "05.03.2024",
    "",
  ])(
    "%j, which could mean something else, is refused with the forms that are understood",
    (text) => {
      expect(() => timeOption("from", text)).toThrow(
        `from is not a date or time: "${text}"; write a date (2024-03-05), a time with its zone (2024-03-05T14:30:00Z), or the 10 digits of epoch seconds or the 13 of epoch milliseconds`,
      );
    },
  );

  test("a date as a limit is the end of its day, any other time is that moment", () => {
    expect(limitOption("until", "2024-03-05")).toEqual({ ms: march5 + 86_400_000, isDayEnd: true });
    expect(limitOption("until", "1709596800")).toEqual({ ms: march5, isDayEnd: false });
  });

  test.each([
    ["a daily bar of that day", { openMs: 0, lengthMs: 86_400_000 }, true, true],
    [
      "a daily bar of that day in another zone",
      { openMs: 3_600_000, lengthMs: 86_400_000 },
      true,
      false,
    ],
    ["the last hour of that day", { openMs: 82_800_000, lengthMs: 3_600_000 }, true, true],
    ["the first hour of the next day", { openMs: 86_400_000, lengthMs: 3_600_000 }, false, false],
    ["a week that ends with that day", { openMs: -518_400_000, lengthMs: 604_800_000 }, true, true],
    ["a week that ends after that day", { openMs: 0, lengthMs: 604_800_000 }, false, false],
  ])("by the end of a day: %s", (_what, { openMs, lengthMs }, ofDay, byThen) => {
    const open = Float64Array.of(-900_000_000, march5 + openMs);
    const ends = Float64Array.of(-800_000_000, march5 + openMs + lengthMs);
    const ms = march5 + 86_400_000;

    expect(rowsBefore(open, ends, { ms, isDayEnd: true })).toBe(ofDay ? 2 : 1);
    expect(rowsBefore(open, ends, { ms, isDayEnd: false })).toBe(byThen ? 2 : 1);
  });

  test("a date as the last time means its whole day", () => {
    expect(lastMsOption("until", "2024-03-05")).toBe(march5 + 86_400_000 - 1);
    expect(lastMsOption("until", "1709596800")).toBe(march5);
  });
});
