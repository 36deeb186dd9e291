import { nearestName } from "../config/nearest-name.ts";
import { invalid } from "./declaration-error.ts";

/** The keys of an options type. The compiler refuses a list that lacks one, or names one that the type does not have. */
export type OptionKeys<T> = { readonly [Key in keyof T]-?: true };

/**
 * Refuses options with a key that nothing reads: a misspelt option would otherwise be its default in silence, since a
 * strategy is run without being type-checked.
 *
 * @param where what takes the options, for the message
 * @param options what the author wrote
 * @param keys all keys that are read
 * @param removed what to do about keys that were read once. @default none
 * @throws {DeclarationError} `INVALID_FIELD`, naming the key and the nearest one that exists.
 */
export function checkOptions<T extends object>(
  where: string,
  options: T,
  keys: OptionKeys<T>,
  removed: Readonly<Record<string, string>> = {},
): void {
  if (typeof options !== "object" || options === null) {
    throw invalid(where, `takes an object of options, not ${String(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(keys, key)) continue;
    const fix = removed[key] ?? nearestOf(key, Object.keys(keys), "it takes");
    throw invalid(`${where}.${key}`, `is no option; ${fix}`);
  }
}

/**
 * What to write instead of a name that is not known, for messages.
 *
 * @param otherwise begins the sentence if no known name is near, as in `it has`
 * @returns `did you mean "close"?`, or all known names
 */
export function nearestOf(name: string, known: readonly string[], otherwise: string): string {
  const near = nearestName(name, known);
  return near === undefined ? `${otherwise} ${known.join(", ")}` : `did you mean "${near}"?`;
}
