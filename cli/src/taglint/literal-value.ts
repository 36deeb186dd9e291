import type { Expression } from "oxc-parser";

/** The text or number a literal stands for; undefined for any other expression. */
export function literalValue(expression: Expression): string | number | undefined {
  if (expression.type === "Literal") {
    const { value } = expression;
    return typeof value === "string" || typeof value === "number" ? value : undefined;
  }
  const [only, ...others] = expression.type === "TemplateLiteral" ? expression.quasis : [];
  return others.length === 0 ? (only?.value.cooked ?? undefined) : undefined;
}

/** A text as a literal, in the given quotes where it can be. */
export function quoted(text: string, quote: string): string {
  return /^[^\\'"`$\n\r\u2028\u2029]*$/.test(text) ? quote + text + quote : JSON.stringify(text);
}
