import type { Expression, ObjectExpression, Program, Statement } from "oxc-parser";

/** Where a module's exported `TAGS` is, if it is written so that it can be read. */
export type FoundTags =
  | { readonly kind: "literal"; readonly object: ObjectExpression }
  | { readonly kind: "other"; readonly at: number; readonly what: string }
  | { readonly kind: "none" };

const NAME = "TAGS";

/** Finds `export const TAGS = {…}`, also with `as const`, `satisfies`, `Object.freeze`, or exported by its name. */
export function findTags(program: Program): FoundTags {
  for (const statement of program.body) {
    if (statement.type !== "ExportNamedDeclaration") continue;
    if (statement.declaration !== null) {
      const found = declaredAs(statement.declaration, NAME);
      if (found !== undefined) return found;
      continue;
    }
    for (const { exported, local, start } of statement.specifiers) {
      if (textOf(exported) !== NAME) continue;
      if (statement.source !== null) return { kind: "other", at: start, what: "another module's" };
      const name = textOf(local);
      const found = program.body.map((each) => declaredAs(each, name)).find((each) => each);
      return found ?? { kind: "other", at: start, what: "no constant of this module" };
    }
  }
  return { kind: "none" };
}

/** The value a declaration gives a name. */
function declaredAs(statement: Statement, name: string): FoundTags | undefined {
  if (statement.type !== "VariableDeclaration") return undefined;
  for (const { id, init, start } of statement.declarations) {
    if (id.type !== "Identifier" || id.name !== name) continue;
    const value = init === null ? undefined : unwrapped(init);
    if (value?.type === "ObjectExpression") return { kind: "literal", object: value };
    return { kind: "other", at: value?.start ?? start, what: "not an object literal" };
  }
  return undefined;
}

/** The expression inside types, parentheses and `Object.freeze`. */
function unwrapped(expression: Expression): Expression {
  switch (expression.type) {
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSTypeAssertion":
    case "TSNonNullExpression":
    case "ParenthesizedExpression":
      return unwrapped(expression.expression);
    case "CallExpression": {
      const [value] = expression.arguments;
      const isFrozen = value !== undefined && isFreeze(expression.callee);
      return isFrozen && value.type !== "SpreadElement" ? unwrapped(value) : expression;
    }
    default:
      return expression;
  }
}

function isFreeze(callee: Expression): boolean {
  return (
    callee.type === "MemberExpression" &&
    callee.object.type === "Identifier" &&
    callee.object.name === "Object" &&
    callee.property.type === "Identifier" &&
    callee.property.name === "freeze"
  );
}

function textOf(name: { type: string; name?: string; value?: unknown }): string {
  return name.name ?? String(name.value);
}
