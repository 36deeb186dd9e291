/** A syntax node as the parser gives it: ESTree, seen without its TypeScript part. */
export interface AstNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

/** Fields that say nothing about what the code does: positions, types and TypeScript's markers. */
const meaninglessFields: ReadonlySet<string> = new Set([
  "type",
  "start",
  "end",
  "range",
  "loc",
  "parent",
  "raw",
  "directive",
  "typeAnnotation",
  "typeParameters",
  "typeArguments",
  "returnType",
  "superTypeArguments",
  "superTypeParameters",
  "implements",
  "accessibility",
  "declare",
  "override",
  "readonly",
  "definite",
  "abstract",
  "importKind",
  "exportKind",
  "phase",
]);

const typeWrappers: ReadonlySet<string> = new Set([
  "TSAsExpression",
  "TSSatisfiesExpression",
  "TSNonNullExpression",
  "TSTypeAssertion",
  "TSInstantiationExpression",
  "ParenthesizedExpression",
]);

const functionTypes: ReadonlySet<string> = new Set([
  "FunctionDeclaration",
  "FunctionExpression",
  "ArrowFunctionExpression",
]);

const keyCollator = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function isAstNode(value: unknown): value is AstNode {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    typeof value.type === "string" &&
    "start" in value
  );
}

export function isFunctionNode(node: AstNode): boolean {
  return functionTypes.has(node.type);
}

export function isClassNode(node: AstNode): boolean {
  return node.type === "ClassDeclaration" || node.type === "ClassExpression";
}

/** The node inside `as`, `satisfies`, `!`, `<T>` and parentheses. */
export function unwrapped(node: AstNode): AstNode {
  let inner = node;
  while (typeWrappers.has(inner.type) && isAstNode(inner.expression)) inner = inner.expression;
  return inner;
}

/** True for a node that leaves nothing behind when types are stripped. */
export function isErased(node: AstNode): boolean {
  if (node.type === "EmptyStatement") return true;
  if (node.type === "PropertyDefinition" && node.declare === true) return true;
  if (node.type === "ExpressionStatement" && typeof node.directive === "string") return true;
  if (node.type === "VariableDeclaration" && node.declare === true) return true;
  // A `this` parameter exists for the type checker alone.
  if (node.type === "Identifier" && node.name === "this") return true;
  // Overload signatures and abstract methods.
  const body = node.type === "MethodDefinition" ? childNode(node, "value") : undefined;
  if (body?.type === "TSEmptyBodyFunctionExpression") return true;
  return node.type.startsWith("TS") && !typeWrappers.has(node.type);
}

/** Fields that carry meaning, in a fixed order. */
export function meaningfulFields(node: AstNode): string[] {
  return Object.keys(node)
    .filter((field) => !meaninglessFields.has(field))
    .sort(keyCollator);
}

/** The child node in a field, if there is one. */
export function childNode(node: AstNode, field: string): AstNode | undefined {
  const value = node[field];
  return isAstNode(value) ? value : undefined;
}

/** The child nodes in a list field; holes are left out. */
export function childList(node: AstNode, field: string): AstNode[] {
  const value = node[field];
  return Array.isArray(value) ? value.filter(isAstNode) : [];
}

/** All children that survive type stripping, wrappers removed, in source order. */
export function children(node: AstNode): AstNode[] {
  const found: AstNode[] = [];
  for (const field of meaningfulFields(node)) {
    const value = node[field];
    for (const item of Array.isArray(value) ? value : [value]) {
      if (isAstNode(item) && !isErased(item)) found.push(unwrapped(item));
    }
  }
  return found.sort((a, b) => a.start - b.start);
}

/** The name of an identifier, or undefined for any other node. */
export function identifierName(node: AstNode | undefined): string | undefined {
  return node?.type === "Identifier" && typeof node.name === "string" ? node.name : undefined;
}

/** The text of a string literal or identifier used as a name (import specifiers, property keys). */
export function nameText(node: AstNode | undefined): string | undefined {
  if (node?.type === "Literal" && typeof node.value === "string") return node.value;
  return identifierName(node);
}

/** `a` of `a.b[c].d`; undefined if the chain does not begin with a name. */
export function rootName(target: AstNode): string | undefined {
  let node = unwrapped(target);
  for (;;) {
    const next =
      node.type === "MemberExpression"
        ? childNode(node, "object")
        : node.type === "ChainExpression"
          ? childNode(node, "expression")
          : undefined;
    if (next === undefined) return identifierName(node);
    node = unwrapped(next);
  }
}

/** The member of `a.b` or `a["b"]`. */
export function memberName(node: AstNode): string | undefined {
  const property = childNode(node, "property");
  if (node.computed !== true) return identifierName(property);
  return property?.type === "Literal" && typeof property.value === "string"
    ? property.value
    : undefined;
}
