import {
  type AstNode,
  childList,
  childNode,
  children,
  identifierName,
  isClassNode,
  isFunctionNode,
  unwrapped,
} from "./ast-node.ts";

/** Names bound by a pattern: `a`, `{a, b: c}`, `[d = 1, ...e]`. */
export function patternNames(pattern: AstNode | undefined): string[] {
  if (pattern === undefined) return [];
  const node = unwrapped(pattern);
  switch (node.type) {
    case "Identifier":
      return node.name === "this" ? [] : [String(node.name)];
    case "ObjectPattern":
      return childList(node, "properties").flatMap(patternNames);
    case "Property":
      return patternNames(childNode(node, "value"));
    case "ArrayPattern":
      return childList(node, "elements").flatMap(patternNames);
    case "AssignmentPattern":
      return patternNames(childNode(node, "left"));
    case "RestElement":
      return patternNames(childNode(node, "argument"));
    default:
      return [];
  }
}

/**
 * Names a node declares for what is inside it, or undefined if it opens no scope. Strict mode: functions in blocks
 * belong to their block.
 */
export function scopeNames(node: AstNode): Set<string> | undefined {
  if (isFunctionNode(node)) return functionNames(node);
  if (isClassNode(node)) return new Set(patternNames(childNode(node, "id")));
  switch (node.type) {
    case "BlockStatement":
    case "StaticBlock":
      return lexicalNames(childList(node, "body"));
    case "SwitchStatement":
      return lexicalNames(childList(node, "cases").flatMap((c) => childList(c, "consequent")));
    case "ForStatement":
      return lexicalNames([childNode(node, "init")].filter((item) => item !== undefined));
    case "ForInStatement":
    case "ForOfStatement":
      return lexicalNames([childNode(node, "left")].filter((item) => item !== undefined));
    case "CatchClause":
      return new Set(patternNames(childNode(node, "param")));
    default:
      return undefined;
  }
}

function functionNames(node: AstNode): Set<string> {
  const names = new Set(childList(node, "params").flatMap(patternNames));
  const own = identifierName(childNode(node, "id"));
  if (own !== undefined) names.add(own);
  if (node.type !== "ArrowFunctionExpression") names.add("arguments");
  const body = childNode(node, "body");
  if (body !== undefined) addVarNames(body, names);
  return names;
}

function lexicalNames(statements: readonly AstNode[]): Set<string> {
  const names = new Set<string>();
  for (const statement of statements) {
    if (statement.type === "VariableDeclaration" && statement.kind !== "var") {
      for (const name of declaratorNames(statement)) names.add(name);
    } else if (statement.type === "FunctionDeclaration" || statement.type === "ClassDeclaration") {
      for (const name of patternNames(childNode(statement, "id"))) names.add(name);
    }
  }
  return names;
}

function addVarNames(node: AstNode, names: Set<string>): void {
  if (node.type === "VariableDeclaration" && node.kind === "var") {
    for (const name of declaratorNames(node)) names.add(name);
  }
  for (const child of children(node)) {
    if (!isFunctionNode(child) && !isClassNode(child)) addVarNames(child, names);
  }
}

function declaratorNames(declaration: AstNode): string[] {
  return childList(declaration, "declarations").flatMap((one) =>
    patternNames(childNode(one, "id")),
  );
}
