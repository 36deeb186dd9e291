/**
 * A list with one entry more; the list given stays as it is. For lists that nearly always end with one entry or none: a
 * literal of one entry takes a fraction of the memory of an array that grew by `push`.
 */
export function appended<T>(list: readonly T[], one: T): readonly T[] {
  return list.length === 0 ? [one] : [...list, one];
}
