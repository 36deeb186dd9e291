import fc from "fast-check";
import { expect, test } from "vitest";
import { exactJson, parseExactJson } from "./exact-json.ts";

const double = fc.oneof(fc.double(), fc.constantFrom(-0, Number.NaN, Infinity, -Infinity, 5e-324));
const { data } = fc.letrec<{ data: unknown }>((tie) => ({
  data: fc.oneof(
    { maxDepth: 4 },
    double,
    fc.string({ unit: "binary" }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("data"), { maxLength: 4 }),
    fc.dictionary(
      fc.string().filter((key) => key !== "$double" && key !== "__proto__"),
      tie("data"),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
}));

test("every double comes back bit for bit, and all data with it", () => {
  fc.assert(
    fc.property(data, (value) => {
      // Compares numbers as Object.is does: -0 differs from 0, and NaN equals itself.
      expect(parseExactJson(exactJson(value))).toStrictEqual(value);
    }),
    { numRuns: 500 },
  );
});

test("equal data have equal text, in whichever order they were put together", () => {
  const one = { b: -0, a: [Number.NaN, { d: 1, c: undefined }] };
  const other = { a: [Number.NaN, { d: 1 }], b: -0 };

  expect(exactJson(one)).toBe('{"a":[{"$double":"NaN"},{"d":1}],"b":{"$double":"-0"}}');
  expect(exactJson(other)).toBe(exactJson(one));
  expect(exactJson({ b: 0 })).not.toBe(exactJson({ b: -0 }));
});

test("what is no data is refused, and so is what would be read as something else", () => {
  const deep = Array.from({ length: 2_000 }).reduce<unknown>((inner) => [inner], 1);

  for (const bad of [undefined, [undefined], 1n, () => 1, { $double: "1" }, deep]) {
    expect(() => exactJson(bad)).toThrow(TypeError);
  }
  expect(() => parseExactJson("{")).toThrow(SyntaxError);
});
