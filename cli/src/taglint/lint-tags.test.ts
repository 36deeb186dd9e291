import fc from "fast-check";
import { parseSync } from "oxc-parser";
import { describe, expect, test } from "vitest";
import { canonicalInterval } from "./canonical-interval.ts";
import { lintTags, mendTags } from "./lint-tags.ts";
import { type TagRule, tagRules } from "./tag-finding.ts";

const GOOD = `scope: "signal", family: "momentum", interval: "1m", asset: "btcusdt"`;
const found = (text: string, path = "a.ts"): [TagRule, string][] =>
  lintTags(path, text).map(({ rule, at }) => [rule, text.slice(at, at + 8)]);

describe("tags that hold", () => {
  test.each([
    `export const TAGS = { ${GOOD} };`,
    `export const TAGS = { ${GOOD} } as const;`,
    `export const TAGS: Tags = { ${GOOD} } satisfies Tags;`,
    `export const TAGS = ({ ${GOOD} } as const) satisfies Tags;`,
    `export const TAGS = Object.freeze({ ${GOOD} });`,
    `const TAGS = { ${GOOD} };\nexport { TAGS };`,
    `const own = { ${GOOD} };\nexport { own as TAGS };`,
    `export const TAGS = { ${GOOD}, window: 20, price: "close", side: "long", target_horizon: "5m", label: "up" };`,
    `export const TAGS = { "scope": 'signal', family: \`momentum\`, interval: "15m", asset: "btc/usdt" };`,
    `export const TAGS = { ${GOOD} };\nnew StreamInput({ tags: ["a-b", "C.d_1"] });`,
  ])("%s", (text) => {
    expect(lintTags("a.ts", text)).toEqual([]);
    expect(mendTags("a.ts", text)).toEqual({ text, mended: [], left: [] });
  });

  test("in JavaScript, too, and with a byte order mark and letters outside the BMP", () => {
    expect(lintTags("a.mjs", `export const TAGS = { ${GOOD} };`)).toEqual([]);
    expect(found(`\uFEFF/* 😀 */ export const TAGS = { ${GOOD}, side: "LONG" };`)).toEqual([
      ["value-case", `"LONG" }`],
    ]);
  });
});

/** A fault for every rule: the text, and what stands where the fault is reported. */
const FAULTS: Record<TagRule, readonly [string, string]> = {
  "tags-missing": [`export const TAG = { ${GOOD} };`, "export c"],
  "tags-not-literal": ["export const TAGS = makeTags();", "makeTags"],
  "key-missing": [`export const TAGS = { scope: "a", family: "b", asset: "c" };`, `{ scope:`],
  "key-unknown": [`export const TAGS = { ${GOOD}, widow: 3 };`, "widow: 3"],
  "key-case": [`export const TAGS = { ${GOOD}, Side: "long" };`, `Side: "l`],
  "key-duplicate": [`export const TAGS = { ${GOOD}, scope: "b" };`, `scope: "`],
  "value-type": [`export const TAGS = { ${GOOD}, label: NAME };`, "NAME };"],
  "value-empty": [`export const TAGS = { ${GOOD}, label: " " };`, `" " };`],
  "value-case": [`export const TAGS = { ${GOOD}, label: "Up" };`, `"Up" };`],
  "interval-canonical": [
    `export const TAGS = { scope: "a", family: "b", asset: "c", interval: "60s" };`,
    `"60s" };`,
  ],
  "interval-invalid": [
    `export const TAGS = { scope: "a", family: "b", asset: "c", interval: "1M" };`,
    `"1M" };`,
  ],
  "tag-characters": [
    `export const TAGS = { ${GOOD} };\nnew TagQueryNode({ queryTags: ["a b"] });`,
    `"a b"] }`,
  ],
  "tag-duplicate": [
    `export const TAGS = { ${GOOD} };\nnew StreamInput({ tags: ["a", "a"] });`,
    `"a"] });`,
  ],
};

describe("a planted fault is found by its rule alone, where it is", () => {
  test.each(Object.keys(tagRules) as TagRule[])("%s", (rule) => {
    const [text, place] = FAULTS[rule];

    const findings = found(text);
    expect(findings.map(([each]) => each)).toEqual([rule]);
    expect(findings[0]![1].startsWith(place.slice(0, 8))).toBe(true);
  });

  test("a misspelt key is told with the nearest one", () => {
    const message = (key: string) =>
      lintTags("a.ts", `export const TAGS = { ${GOOD}, ${key}: "x" };`)[0]?.message;

    expect(message("widnow")).toContain("do you mean window?");
    expect(message("targetHorizon")).toContain("do you mean target_horizon?");
    expect(message("colour")).toContain("the keys are scope, family");
  });

  test("what a spread brings is not said to be missing, but that it cannot be read", () => {
    expect(found(`export const TAGS = { ...BASE, asset: "c" };`)).toEqual([
      ["tags-not-literal", "...BASE,"],
    ]);
    expect(found(`export { TAGS } from "./other.ts";`).map(([rule]) => rule)).toEqual([
      "tags-not-literal",
    ]);
  });

  test("text that is no module is told with its place", () => {
    expect(() => lintTags("a.ts", "let a = ;")).toThrow(expect.objectContaining({ at: 8 }));
  });
});

test.each([
  [60, "1m"],
  ["60", "1m"],
  ["60s", "1m"],
  ["60S", "1m"],
  [300, "5m"],
  ["3600s", "1h"],
  ["24h", "1d"],
  ["90m", "90m"],
  [90, "90s"],
  ["1W", "1w"],
  ["7d", "1w"],
  ["1mo", "1mo"],
  ["1M", undefined],
  [0, undefined],
  [1.5, undefined],
  ["2d", undefined],
  ["soon", undefined],
])("the interval %j is %j", (given, canonical) => {
  expect(canonicalInterval(given)).toBe(canonical);
});

describe("mending", () => {
  test("changes case and intervals, adds empty keys, and keeps comments and layout", () => {
    const text = `import x from "y";
export const TAGS = {
  scope: 'Signal', // the Scope
  "Interval":  60,
  asset: \`BTC\` // last
} as const;
const Upper = { scope: "Other" };
`;

    const { text: mended, left } = mendTags("a.ts", text);

    expect(mended).toBe(`import x from "y";
export const TAGS = {
  scope: 'signal', // the Scope
  "interval":  "1m",
  asset: \`btc\`, // last
  family: ''
} as const;
const Upper = { scope: "Other" };
`);
    expect(left.map(({ rule, message }) => [rule, message])).toEqual([
      ["value-empty", "family is empty"],
    ]);
  });

  test.each([
    ["{}", `{ scope: "", family: "", interval: "", asset: "" }`],
    ["{ scope: 'a', }", `{ scope: 'a', family: '', interval: '', asset: '', }`],
    ["{ scope: 'a' /* , */ }", `{ scope: 'a', family: '', interval: '', asset: '' /* , */ }`],
    ["{ /* none */ }", `{ /* none */ scope: "", family: "", interval: "", asset: "" }`],
    [
      "{\r\n\tscope: 'a',\r\n}",
      "{\r\n\tscope: 'a',\r\n\tfamily: '',\r\n\tinterval: '',\r\n\tasset: '',\r\n}",
    ],
  ])("keys are added to %j as it is laid out", (before, after) => {
    expect(mendTags("a.ts", `export const TAGS = ${before};`).text).toBe(
      `export const TAGS = ${after};`,
    );
  });
});

const value = fc.oneof(
  fc.constantFrom(
    "60",
    '"60s"',
    "'1H'",
    '"1M"',
    "`Long`",
    "''",
    "NAME",
    "3",
    '"a\\u0041"',
    '"Été"',
  ),
  fc.string({ maxLength: 6 }).map((text) => JSON.stringify(text)),
);
const key = fc.constantFrom(
  ...[
    "scope",
    "family",
    "interval",
    "asset",
    "window",
    "side",
    "Scope",
    "INTERVAL",
    "famly",
    "'label'",
  ],
);
const gap = fc.constantFrom("", " ", "\n  ", " /* , } */ ", " // ' }\n", "\r\n\t");
const property = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.tuple(key, gap, value, gap).map(([k, a, v, b]) => `${k}:${a}${v}${b}`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "...BASE",
      "[computed]: 1",
      "asset",
      "Side",
      "get side() { return 1 }",
    ),
  },
);
const literal = fc
  .tuple(gap, fc.array(property, { maxLength: 6 }), fc.boolean(), gap)
  .map(([open, all, hasComma, close]) => {
    const comma = hasComma && all.length > 0 ? "," : "";
    return `{${open}${all.join(",")}${comma}${close}}`;
  });

describe("whatever the literal looks like", () => {
  const before = "\uFEFFimport a from 'b'; // { scope: \"A\" }\nexport const TAGS = ";
  const after = " as const;\nexport const Other = { Scope: 'A' };\n";

  test("mending a second time changes nothing, and nothing but the literal changes", () => {
    fc.assert(
      fc.property(literal, (text) => {
        const once = mendTags("a.ts", before + text + after);
        const twice = mendTags("a.ts", once.text);

        expect(twice.text).toBe(once.text);
        expect(twice.mended).toEqual([]);
        expect(twice.left).toEqual(once.left);
        expect(once.text.startsWith(`${before}{`)).toBe(true);
        expect(once.text.endsWith(`}${after}`)).toBe(true);
        const comments = (source: string) => parseSync("a.ts", source).comments.map((c) => c.value);
        expect(comments(once.text)).toEqual(comments(before + text + after));
      }),
      { seed: 11, numRuns: 400 },
    );
  });

  test("every finding lies in the text", () => {
    fc.assert(
      fc.property(literal, (text) => {
        const source = before + text + after;
        for (const { at } of lintTags("a.ts", source)) {
          expect(at).toBeGreaterThanOrEqual(before.length);
          expect(at).toBeLessThan(source.length - after.length);
        }
      }),
      { seed: 12, numRuns: 200 },
    );
  });
});
