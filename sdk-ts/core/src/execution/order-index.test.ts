import * as fc from "fast-check";
import { expect, test } from "vitest";
import { OrderIndex } from "./order-index.ts";

test("finds, replaces and lists records as a map does, however many there are", () => {
  const change = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 20 }));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 120 }), (changes) => {
      const index = new OrderIndex<{ id: string; at: number }>();
      const map = new Map<string, { id: string; at: number }>();
      changes.forEach(([isAdded, number], at) => {
        const id = `o${number}`;
        if (isAdded) {
          index.set({ id, at });
          map.set(id, { id, at });
        } else {
          expect(index.delete(id)).toBe(map.delete(id));
        }

        expect(index.get(id)).toEqual(map.get(id));
        expect(index.has(id)).toBe(map.has(id));
        expect([...index.values()]).toEqual([...map.values()]);
        expect(index.list()).toEqual([...map.values()]);
      });
    }),
  );
});

test("a list stays as it was when records are taken away", () => {
  const index = new OrderIndex<{ id: string }>();
  for (const id of ["a", "b"]) index.set({ id });
  const list = index.list();

  index.delete("a");

  expect(list).toEqual([{ id: "a" }, { id: "b" }]);
});
