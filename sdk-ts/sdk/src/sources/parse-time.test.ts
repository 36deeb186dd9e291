import { describe, expect, test } from "vitest";
import { lastMsOption, parseTimeText, timeOption } from "./parse-time.ts";

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

  test("a date as the last time means its whole day", () => {
    expect(lastMsOption("until", "2024-03-05")).toBe(march5 + 86_400_000 - 1);
    expect(lastMsOption("until", "1709596800")).toBe(march5);
  });
});
