/** Rows of the largest page a list gives. */
export const pageSizeMax = 1_000;

/** Every row of a list that is answered in pages; `read` asks for the page after a token, `rowsOf` takes its rows out. */
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
