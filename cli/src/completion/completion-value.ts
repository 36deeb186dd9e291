/** What may stand somewhere. `list` is several of the values, separated by commas; `any` is not known here. */
export type CompletionValue =
  | { readonly kind: "words" | "list"; readonly values: readonly string[] }
  | { readonly kind: "files" | "folders" | "any" };
