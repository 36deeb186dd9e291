import { parseInterval } from "@qmtl/sdk";
import { InvalidArgumentError } from "commander";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  decimalText,
  integerIn,
  intervalSeconds,
  nameList,
  numberIn,
  secondsOfInterval,
} from "./option-values.ts";

describe("an interval", () => {
  test("is written in seconds, or with its unit", () => {
    const texts = ["60", "60s", "1m", "1h", "1d", "1w"];
    expect(texts.map(intervalSeconds)).toEqual([60, 60, 60, 3_600, 86_400, 604_800]);
  });

  test.each(["", "0", "-60", "1.5m", "1 h", "2d", "2w", "1M", "abc", "60 s"])(
    "is refused as %j",
    (text) => {
      expect(() => intervalSeconds(text)).toThrow(InvalidArgumentError);
    },
  );

  test("is read as the SDK reads it", () => {
    const texts = fc.stringMatching(/^ ?\d{0,6}\.?[smhdwSMHD]? ?$/);
    fc.assert(
      fc.property(texts, (text) => {
        expect(secondsOfInterval(text)).toBe(sdkReading(text));
      }),
      { seed: 5, numRuns: 500 },
    );
  });
});

function sdkReading(text: string): number | undefined {
  try {
    return parseInterval("interval", text);
  } catch {
    return undefined;
  }
}

describe("a number", () => {
  test("is read as it is written, inside its bounds only", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const read = numberIn({ min: 0, max: 1 });
        if (value >= 0 && value <= 1) expect(read(String(value)) === value).toBe(true);
        else expect(() => read(String(value))).toThrow(/of 0\.\.1/);
      }),
      { seed: 3, numRuns: 300 },
    );
  });

  test("never becomes NaN, infinite, or a number nobody wrote", () => {
    for (const text of ["abc", "", " ", "NaN", "Infinity", "0x10", "1,5", "1e999", "1.2.3"])
      expect(() => numberIn()(text)).toThrow(InvalidArgumentError);
    for (const text of ["1.5", "1e3", "abc", "", "9007199254740993"])
      expect(() => integerIn()(text)).toThrow(InvalidArgumentError);
  });

  test("kept as a decimal keeps every digit", () => {
    expect(["-0.1", "100", "0.000000000000000001"].map(decimalText)).toEqual([
      "-0.1",
      "100",
      "0.000000000000000001",
    ]);
    for (const text of ["1e3", ".5", "+1", "abc", ""])
      expect(() => decimalText(text)).toThrow(InvalidArgumentError);
  });
});

test("names come with commas between or one by one; empty ones are none", () => {
  expect(nameList("c,", nameList("a, b"))).toEqual(["a", "b", "c"]);
});
