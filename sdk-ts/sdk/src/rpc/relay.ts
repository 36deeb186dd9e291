/**
 * The items of a stream, each changed on its way, and its failure. As a generator would, but at the cost of one promise
 * for each item. Leaving the loop leaves that over `items`. To be iterated once.
 *
 * @param failed throws what the failure becomes
 */
export function relay<T, U>(
  items: AsyncIterable<T>,
  changed: (item: T) => U,
  failed: (failure: unknown) => never = rethrow,
): AsyncIterable<U> {
  const begin = (): AsyncIterator<U, void, void> => {
    const inner = items[Symbol.asyncIterator]();
    const take = (result: IteratorResult<T, unknown>): IteratorResult<U, void> =>
      result.done === true ? over : { done: false, value: changed(result.value) };
    const leave = async (): Promise<typeof over> => {
      await inner.return?.();
      return over;
    };
    return {
      next: () => inner.next().then(take, failed),
      return: leave,
      // Connect's own transports end the requests of a call with a failure.
      throw: (failure) => leave().then(() => rethrow(failure)),
    };
  };
  return { [Symbol.asyncIterator]: begin };
}

const over = { done: true, value: undefined } as const;

function rethrow(failure: unknown): never {
  throw failure;
}
