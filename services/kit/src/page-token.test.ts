import { createHash } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutPage, makePageToken, pageSizeOf, pageTokenMsMax, readPageToken } from "./page-token.ts";

const filters = { method: "WorldService.ListBindings", worldId: "w1" };
const kinds = ["number", "string"] as const;
const nowMs = 1_700_000_000_000;

function refusalOf(run: () => unknown): { reason: string; fields: readonly string[] } | undefined {
  try {
    run();
    return undefined;
  } catch (failure) {
    if (!(failure instanceof QmtlError)) throw failure;
    return { reason: failure.reason, fields: failure.fields.map(({ field }) => field) };
  }
}

const refused = { reason: "PAGE_TOKEN_INVALID", fields: ["page_token"] };

describe("a page token", () => {
  test("gives its position back for the same filters, in whatever order they are named", () => {
    const token = makePageToken(filters, [7, "s-1"], nowMs);
    const turned = { worldId: "w1", method: "WorldService.ListBindings" };
    expect(readPageToken(token, turned, kinds, nowMs + pageTokenMsMax)).toEqual([7, "s-1"]);
  });

  test("that is empty starts from the beginning", () => {
    expect(readPageToken("", filters, kinds, nowMs)).toBeUndefined();
  });

  test("of other filters or of another list is refused", () => {
    const token = makePageToken(filters, [7, "s-1"], nowMs);
    for (const other of [
      { ...filters, worldId: "w2" },
      { ...filters, method: "WorldService.ListWorldNodes" },
      { ...filters, workingOnly: false },
      { method: filters.method },
    ]) {
      expect(refusalOf(() => readPageToken(token, other, kinds, nowMs))).toEqual(refused);
    }
  });

  test("older than an hour, or from a clock an hour ahead, is refused", () => {
    const token = makePageToken(filters, [7, "s-1"], nowMs);
    const late = nowMs + pageTokenMsMax + 1;
    const early = nowMs - pageTokenMsMax - 1;
    for (const at of [late, early]) {
      expect(refusalOf(() => readPageToken(token, filters, kinds, at))).toEqual(refused);
    }
  });

  test("with one character changed, or any other text, is refused", () => {
    const token = makePageToken(filters, [7, "s-1"], nowMs);
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom("A", "z", ".", "0"), (at, letter) => {
        fc.pre(token[at] !== letter);
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        expect(refusalOf(() => readPageToken(changed, filters, kinds, nowMs))).toEqual(refused);
      }),
    );
    for (const text of ["7", "a.b", ".", "x".repeat(100_000)]) {
      expect(refusalOf(() => readPageToken(text, filters, kinds, nowMs))).toEqual(refused);
    }
  });

  test("somebody made himself, with a right hash and a wrong position, is refused", () => {
    const good = makePageToken(filters, [7, "s-1"], nowMs);
    const forge = (parts: unknown) => {
      const body = Buffer.from(JSON.stringify(parts)).toString("base64url");
      const named = [
        ["method", filters.method],
        ["worldId", filters.worldId],
      ];
      const hash = createHash("sha256")
        .update(JSON.stringify([named, body]))
        .digest();
      return `${body}.${hash.subarray(0, 16).toString("base64url")}`;
    };
    expect(forge([nowMs, 7, "s-1"])).toBe(good);
    for (const parts of [
      [nowMs, "7", "s-1"],
      [nowMs, 1e300, "s-1"],
      [nowMs, 7.5, "s-1"],
      [nowMs, 7, "a\0b"],
      [nowMs, 7],
      [nowMs, 7, "s-1", 1],
      ["now", 7, "s-1"],
      { length: 3 },
      null,
    ]) {
      expect(refusalOf(() => readPageToken(forge(parts), filters, kinds, nowMs))).toEqual(refused);
    }
  });
});

describe("a page", () => {
  test("has 100 rows unless asked otherwise, and never more than 1,000", () => {
    expect([0, 1, 1_000, 1_001].map((size) => pageSizeOf(size))).toEqual([100, 1, 1_000, 1_000]);
    expect(pageSizeOf(0, { usual: 10, max: 20 })).toBe(10);
    expect(pageSizeOf(21, { usual: 10, max: 20 })).toBe(20);
  });

  test("of a negative size is refused with the field", () => {
    expect(refusalOf(() => pageSizeOf(-1))).toEqual({
      reason: "INVALID_FIELD",
      fields: ["page_size"],
    });
  });

  test("has a token only when more rows were read than it holds", () => {
    const token = (last: number) => `after ${last}`;
    expect(cutPage([1, 2, 3], 2, token)).toEqual({ page: [1, 2], nextPageToken: "after 2" });
    expect(cutPage([1, 2], 2, token)).toEqual({ page: [1, 2], nextPageToken: "" });
    expect(cutPage([], 2, token)).toEqual({ page: [], nextPageToken: "" });
  });
});
