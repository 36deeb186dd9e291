/** Every page of a list, in order: asks again as long as an answer names a next page. */
export async function* pagesOf<P extends { readonly nextPageToken: string }>(
  read: (pageToken: string) => Promise<P>,
): AsyncGenerator<P> {
  let pageToken = "";
  do {
    const page = await read(pageToken);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** The items of all pages of a list, in order. */
export async function allOf<P extends { readonly nextPageToken: string }, T>(
  read: (pageToken: string) => Promise<P>,
  itemsOf: (page: P) => readonly T[],
): Promise<T[]> {
  const items: T[] = [];
  for await (const page of pagesOf(read)) items.push(...itemsOf(page));
  return items;
}
