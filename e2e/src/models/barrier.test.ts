import { expect, test } from "vitest";
import { searchBarrier } from "./barrier-search.ts";

test("no row passes before every live runner has ended the one before, and none is stuck", () => {
  const result = searchBarrier();

  expect(result.violation).toBeNull();
  expect(result.done).toBeGreaterThan(10);
  expect(result.states).toBeGreaterThan(100);
});

test("caught: a new owner takes its empty list for 'all ended'", () => {
  const result = searchBarrier({
    newOwner: (barrier) => ({
      ...barrier,
      runners: new Map(
        [...barrier.runners].map(([id, r]) => [id, { ...r, endedRow: barrier.logRow }]),
      ),
    }),
  });

  expect(result.violation).toMatch(/is out, live runner/);
});

test("caught: rows held at the feed's holder instead of the owner", () => {
  expect(searchBarrier({ holdsAtHolder: true }).violation).toMatch(/is out, live runner/);
});
