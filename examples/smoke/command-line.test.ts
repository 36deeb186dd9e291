import { describe, expect, test } from "vitest";
import { commandsOf, parseCommandLine } from "./command-line.ts";

describe("a line of a README", () => {
  test("is split into words as a shell does, without its remark", () => {
    const line = `npx qmtl world freeze ops --reason "to see it" --by 'it''s me'  # stays`;

    expect(parseCommandLine(line).words).toEqual([
      ...["npx", "qmtl", "world", "freeze", "ops", "--reason", "to see it", "--by", "its me"],
    ]);
  });

  test("sets variables in front of the command only", () => {
    const { env, words } = parseCommandLine("A_B=c=d npx x --o E=f");

    expect(env).toEqual({ A_B: "c=d" });
    expect(words).toEqual(["npx", "x", "--o", "E=f"]);
  });

  test.each(["a | b", "a > b", "a && b", "a $B", 'a "$B"', "a `b`", "a 'b"])(
    "is refused when only a shell could run it: %s",
    (line) => {
      expect(() => parseCommandLine(line)).toThrow("not a plain command");
    },
  );
});

test("commands are the lines of sh blocks, continued lines in one", () => {
  const page =
    "# X\n```sh\na  # stays\n# remark\nb \\\n  c\n```\n```\noutput\n```\n\n```sh\nd\n```\n";

  expect(commandsOf(page)).toEqual(["a  # stays", "b c", "d"]);
});
