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
 * @throws {DeclarationError} `INVALID_FIELD`, naming the key and the nearest one that exists.
 */
export function checkOptions<T extends object>(
  where: string,
  options: T,
  keys: OptionKeys<T>,
): void {
  if (typeof options !== "object" || options === null) {
    throw invalid(where, `takes an object of options, not ${String(options)}`);
  }
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(keys, key)) continue;
    const known = Object.keys(keys);
    const near = nearestName(key, known);
    const fix = near === undefined ? `it takes ${known.join(", ")}` : `did you mean "${near}"?`;
    throw invalid(`${where}.${key}`, `is no option; ${fix}`);
  }
}
