/** How a word is completed. `list`: several of the values, separated by commas; `any`: values are not known here. */
export type CompletionValue =
  | { readonly kind: "words" | "list"; readonly values: readonly string[] }
  | { readonly kind: "files" | "folders" | "any" };
