import { describe, expect, test } from "vitest";
import { RunProblems } from "./run-problems.ts";

function told(asJson: boolean): { problems: RunProblems; lines: string[] } {
  const lines: string[] = [];
  return { problems: new RunProblems({ asJson, write: (line) => lines.push(line) }), lines };
}

describe("the problems of a run", () => {
  test("each kind is printed once when it first occurs, and at the end, if it recurred, as it was last and with its count", () => {
    const { problems, lines } = told(false);

    problems.report("connect ECONNREFUSED 127.0.0.1:7700");
    problems.report("lease of blake3:0a1b2c3d4e5f is lost at row 5");
    problems.report("lease of blake3:ffeeddccbbaa is lost at row 17");
    problems.report("lease of blake3:ffeeddccbbaa is lost at row 18");
    expect(lines).toEqual([
      "problem: connect ECONNREFUSED 127.0.0.1:7700",
      "problem: lease of blake3:0a1b2c3d4e5f is lost at row 5",
    ]);

    problems.end();
    expect(lines.slice(2)).toEqual([
      "problem: lease of blake3:ffeeddccbbaa is lost at row 18 (3 times, this is the last)",
    ]);
  });

  test("a number that grows is not told at the end as it was at first", () => {
    const { problems, lines } = told(true);

    for (const missed of [5, 10, 20, 40])
      problems.report(`signal of t: no value for ${missed} of 140 buckets`);
    problems.end();

    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { event: "problem", problem: "signal of t: no value for 5 of 140 buckets", count: 1 },
      { event: "problem", problem: "signal of t: no value for 40 of 140 buckets", count: 4 },
    ]);
  });

  test("are objects for programs", () => {
    const { problems, lines } = told(true);

    problems.report('a "quoted" one');

    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { event: "problem", problem: 'a "quoted" one', count: 1 },
    ]);
  });

  test("are bounded: beyond fifty kinds the others are counted under one name", () => {
    const { problems, lines } = told(false);

    for (const name of Array.from({ length: 80 }, (_, k) => "x".repeat(k + 1)))
      problems.report(name);

    expect(lines).toHaveLength(51);
    expect(problems.kinds.at(-1)).toEqual({ problem: "other problems", count: 30 });
  });
});
