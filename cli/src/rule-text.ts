/** Which bound of a rule with two a verdict is about: the one to enter, or the one to stay. */
const PURPOSES: Readonly<Record<string, string>> = { enter: "to enter: ", exit: "to stay: " };

/** A verdict for people, with what it is needed for: `to stay: sharpe 0.9 ≥ 0.5`. */
export function ruleText({ kind, text }: { readonly kind: string; readonly text: string }): string {
  return `${PURPOSES[kind] ?? ""}${text}`;
}
