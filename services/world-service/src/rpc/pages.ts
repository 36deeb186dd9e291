import {
  type Clock,
  cutPage,
  makePageToken,
  type PageFilters,
  pageSizeOf,
  readPageToken,
} from "@qmtl/service-kit";

type Kinds = readonly ("string" | "number")[];
type PositionOf<K extends Kinds> = {
  readonly [I in keyof K]: K[I] extends "number" ? number : string;
};

/** One request for a page of a list that is ordered by a key. */
export interface Pages<P extends readonly (string | number)[]> {
  /** Rows of the page. */
  readonly size: number;
  /** Key of the last row of the page before; undefined: from the start. */
  readonly after: P | undefined;
  /** The page of rows that were read after `after`, one more than it holds; in order. */
  end<T>(rows: readonly T[], keyOf: (row: T) => P): Page<T>;
  /** The page of all rows of the list; in order. */
  cut<T>(rows: readonly T[], keyOf: (row: T) => P): Page<T>;
}

interface Page<T> {
  readonly page: readonly T[];
  readonly nextPageToken: string;
}

/**
 * Reads what a request says of its page.
 *
 * PAGE_TOKEN_INVALID for the token of another list, of other filters, or an old one.
 *
 * @param kinds parts of the key the list is ordered by
 */
export function pagesOf<const K extends Kinds>(
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

/** Order of two keys, part by part; texts by their code units. */
export function compareKeys(
  a: readonly (string | number)[],
  b: readonly (string | number)[],
): number {
  for (const [at, part] of a.entries()) {
    const other = b[at];
    if (other === undefined || part === other) continue;
    return part < other ? -1 : 1;
  }
  return 0;
}
