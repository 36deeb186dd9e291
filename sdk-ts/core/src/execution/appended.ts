/**
 * Adds an entry to a list, which its first entry makes. For lists that nearly always end with one entry or none: a
 * literal of one entry takes a fraction of the memory of an array that grew by `push`.
 *
 * @returns the list, longer by one
 */
export function appended<T>(list: T[] | undefined, one: T): T[] {
  if (list === undefined) return [one];
  list.push(one);
  return list;
}
