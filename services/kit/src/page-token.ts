import { createHash } from "node:crypto";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Clock } from "./clock.ts";

/** Largest number of rows in a page. */
export const pageSizeMax = 1_000;

/** What a list was asked for: its method, such as `WorldService.ListBindings`, and every field but the page's own. */
export interface PageFilters {
  readonly method: string;
  readonly [field: string]: string | number | bigint | boolean | readonly (string | number)[];
}

/** Sort key of the last row of a page: what the next page starts after. */
export type PagePosition = readonly (string | number)[];

/** What a part of a position must be. A number is a safe integer; a text has no NUL, as PostgreSQL takes none. */
type PartKind = "string" | "number";
type PositionOf<K extends readonly PartKind[]> = {
  readonly [I in keyof K]: K[I] extends "number" ? number : string;
};

/** Life of a page token, milliseconds. */
export const pageTokenMsMax = 3_600_000;
/** Longest token that is read at all. */
const TOKEN_CHARS_MAX = 8_192;
const HASH_BYTES = 16;

/**
 * The token that continues a list after `position`. Opaque to clients, good for one hour from `nowMs` and for the same
 * filters. It holds nothing secret and needs no key, so that any instance can read it, also after a restart: the hash
 * binds it to its filters, and the filters of each request are checked as those of the first.
 */
export function makePageToken(filters: PageFilters, position: PagePosition, nowMs: number): string {
  const body = Buffer.from(JSON.stringify([nowMs, ...position])).toString("base64url");
  return `${body}.${hashOf(filters, body)}`;
}

/**
 * The position that a page token stands for; undefined for the empty token: from the start.
 *
 * @param kinds what each part of the position is, such as `["number", "string"]`
 * @throws {QmtlError} PAGE_TOKEN_INVALID when it is of another list, of other filters, altered, or older than an hour.
 */
export function readPageToken<const K extends readonly PartKind[]>(
  token: string,
  filters: PageFilters,
  kinds: K,
  nowMs: number,
): PositionOf<K> | undefined {
  if (token === "") return undefined;
  const [body, hash, ...rest] = token.length > TOKEN_CHARS_MAX ? [] : token.split(".");
  if (body === undefined || rest.length > 0 || hash !== hashOf(filters, body)) {
    throw invalid("does not come from an answer to this list with the same other fields");
  }
  const [issuedMs, ...position] = partsOf(body);
  if (!isPart(issuedMs, "number") || !isPosition(position, kinds)) throw invalid("is malformed");
  if (Math.abs(nowMs - issuedMs) > pageTokenMsMax) {
    throw invalid("is older than an hour; start again without one");
  }
  return position;
}

/** Default and largest size of the pages of most lists. */
export const pageSizes = { usual: 100, max: 1_000 };

/**
 * How many rows a page has: 0 asks for the usual size, more than the largest for the largest (AIP-158).
 *
 * @throws {QmtlError} INVALID_FIELD for a negative size.
 */
export function pageSizeOf(requested: number, { usual, max } = pageSizes): number {
  if (requested < 0) {
    throw new QmtlError("INVALID_FIELD", `page_size ${requested} is negative`, {
      fields: [{ field: "page_size", description: "must be 0 or more" }],
    });
  }
  return requested === 0 ? usual : Math.min(requested, max);
}

/** The page of the first `size` rows, and the token of the next page if `rows` has more: so read one row more. */
export function cutPage<T>(
  rows: readonly T[],
  size: number,
  tokenAfter: (last: T) => string,
): { readonly page: readonly T[]; readonly nextPageToken: string } {
  const page = rows.slice(0, size);
  const last = page.at(-1);
  const isLast = rows.length <= size || last === undefined;
  return { page, nextPageToken: isLast ? "" : tokenAfter(last) };
}

function hashOf(filters: PageFilters, body: string): string {
  const named = Object.entries(filters).map(([field, value]) => [
    field,
    typeof value === "bigint" ? `${value}n` : value,
  ]);
  named.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  const hash = createHash("sha256").update(JSON.stringify([named, body]));
  return hash.digest().subarray(0, HASH_BYTES).toString("base64url");
}

function partsOf(body: string): readonly unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
    return Array.isArray(parts) ? parts : [];
  } catch {
    return [];
  }
}

function isPart(part: unknown, kind: "number"): part is number;
function isPart(part: unknown, kind: PartKind): part is string | number;
function isPart(part: unknown, kind: PartKind): part is string | number {
  return kind === "number"
    ? Number.isSafeInteger(part)
    : typeof part === "string" && !part.includes("\0");
}

function isPosition<K extends readonly PartKind[]>(
  parts: readonly unknown[],
  kinds: K,
): parts is PositionOf<K> {
  return parts.length === kinds.length && kinds.every((kind, at) => isPart(parts[at], kind));
}

function invalid(why: string): QmtlError {
  return new QmtlError("PAGE_TOKEN_INVALID", `page_token ${why}`, {
    fields: [{ field: "page_token", description: why }],
  });
}

/** Every row of a list that is answered in pages; `read` requests the page after a token, `rowsOf` returns its rows. */
export async function allPages<P extends { readonly nextPageToken: string }, T>(
  read: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<P>,
  rowsOf: (page: P) => readonly T[],
): Promise<T[]> {
  const rows: T[] = [];
  for (let pageToken = ""; ; ) {
    const page = await read({ pageSize: pageSizeMax, pageToken });
    rows.push(...rowsOf(page));
    pageToken = page.nextPageToken;
    if (pageToken === "") return rows;
  }
}

/** One request for a page of a list that is ordered by a key. */
export interface Pages<P extends PagePosition> {
  /** Rows of the page. */
  readonly size: number;
  /** Key of the last row of the page before; undefined: from the start. */
  readonly after: P | undefined;
  /**
   * Makes the page from the rows that follow `after`, in order. Read `size` + 1 of them: the last one shows that there
   * is a next page.
   */
  end<T>(rows: readonly T[], keyOf: (row: T) => P): Page<T>;
  /** Cuts the page out of all rows of the list, in order. */
  cut<T>(rows: readonly T[], keyOf: (row: T) => P): Page<T>;
}

interface Page<T> {
  readonly page: readonly T[];
  readonly nextPageToken: string;
}

/**
 * Reads the page size and the page token of a request.
 *
 * @param kinds what each part of the key is that the list is ordered by
 * @throws {QmtlError} PAGE_TOKEN_INVALID for the token of another list, of other filters, or one older than an hour;
 * INVALID_FIELD for a negative size.
 */
export function pagesOf<const K extends readonly PartKind[]>(
  clock: Clock,
  request: { readonly pageSize: number; readonly pageToken: string },
  filters: PageFilters,
  kinds: K,
): Pages<PositionOf<K>> {
  const size = pageSizeOf(request.pageSize);
  const after = readPageToken(request.pageToken, filters, kinds, clock.nowMs());
  const end = <T>(rows: readonly T[], keyOf: (row: T) => PositionOf<K>): Page<T> =>
    cutPage(rows, size, (last) => makePageToken(filters, keyOf(last), clock.nowMs()));
  return {
    size,
    after,
    end,
    cut: (rows, keyOf) =>
      end(
        after === undefined ? rows : rows.filter((row) => compareKeys(keyOf(row), after) > 0),
        keyOf,
      ),
  };
}

/** Compares two keys, part by part; texts by their code units. */
export function compareKeys(a: PagePosition, b: PagePosition): number {
  for (const [at, part] of a.entries()) {
    const other = b[at];
    if (other === undefined || part === other) continue;
    return part < other ? -1 : 1;
  }
  return 0;
}
