import {
  type AstNode,
  childNode,
  children,
  identifierName,
  isAstNode,
  isClassNode,
  isFunctionNode,
  nameText,
} from "./ast-node.ts";
import { CodeHashError } from "./code-hash-error.ts";
import { type NameUse, nameUse } from "./name-use.ts";
import { normalForm, type Renaming } from "./normal-form.ts";
import { scopeNames } from "./scope-names.ts";
import { parseProgram, type SourceModule } from "./source-module.ts";

/** A function in a source file, and what encloses it (outermost first, the program left out). */
export interface FunctionSite {
  readonly module: SourceModule;
  readonly node: AstNode;
  readonly enclosing: readonly AstNode[];
}

/** A function as the running program has it: the syntax of its text. */
export interface RuntimeFunction {
  readonly node: AstNode;
  readonly use: NameUse;
  /** Compiled by a test runner that turns imported names into members of a module object. */
  readonly hasModuleObjects: boolean;
  /** Normal form as JSON text; equal for functions that mean the same. */
  readonly form: string;
}

const moduleObject = /^__vi(?:te_ssr)?_import_\d+__$/;

/** @throws {CodeHashError} `UNSUPPORTED_FUNCTION` for native and bound functions and classes. */
export function parseRuntimeFunction(
  fn: (...args: never[]) => unknown,
  file: string,
): RuntimeFunction {
  const text = Function.prototype.toString.call(fn);
  const node =
    functionIn(`(${text})`) ?? functionIn(`({${text}})`) ?? functionIn(`(class {${text}})`);
  if (node === undefined || text.includes("[native code]")) {
    throw new CodeHashError(
      "UNSUPPORTED_FUNCTION",
      file,
      `"${fn.name}" is native, bound or not a function; pass a function written in the module`,
      fn.name,
    );
  }
  const use = nameUse(node);
  const hasModuleObjects = [...use.free.keys()].some((name) => moduleObject.test(name));
  const renaming: Renaming = (part) => {
    if (part.type !== "MemberExpression") return undefined;
    const owner = identifierName(childNode(part, "object"));
    return owner !== undefined && moduleObject.test(owner)
      ? nameText(childNode(part, "property"))
      : undefined;
  };
  return { node, use, hasModuleObjects, form: JSON.stringify(normalForm(node, use, renaming)) };
}

/** All functions of a module with the same meaning as the running one's text. */
export function functionSites(module: SourceModule, wanted: RuntimeFunction): FunctionSite[] {
  const found: FunctionSite[] = [];
  const visit = (node: AstNode, enclosing: readonly AstNode[]): void => {
    if (isFunctionNode(node) && isSame(module, node, wanted)) {
      found.push({ module, node, enclosing });
    }
    const within = node === module.program ? enclosing : [...enclosing, node];
    for (const child of children(node)) visit(child, within);
  };
  visit(module.program, []);
  return found;
}

/** Whether a free name is declared in a scope that encloses the site, and not by the module itself. */
export function isCaptured(site: FunctionSite, name: string): boolean {
  return site.enclosing.some((scope) => {
    const names = scopeNames(scope);
    if (names === undefined || !names.has(name)) return false;
    // The own name of a top-level function or class is the module's.
    return !(isTopLevel(site.module, scope) && identifierName(childNode(scope, "id")) === name);
  });
}

function isTopLevel(module: SourceModule, node: AstNode): boolean {
  if (!isFunctionNode(node) && !isClassNode(node)) return false;
  const name = identifierName(childNode(node, "id"));
  const binding = name === undefined ? undefined : module.bindings.get(name);
  return binding?.kind === "declared" && binding.node.start === node.start;
}

function isSame(module: SourceModule, node: AstNode, wanted: RuntimeFunction): boolean {
  const isArrow = node.type === "ArrowFunctionExpression";
  if (isArrow !== (wanted.node.type === "ArrowFunctionExpression")) return false;
  const use = nameUse(node);
  const renaming = wanted.hasModuleObjects ? importRenaming(module, use) : undefined;
  return JSON.stringify(normalForm(node, use, renaming)) === wanted.form;
}

/** Renames each imported name to what it imports, as the test runner does. */
function importRenaming(module: SourceModule, use: NameUse): Renaming {
  const imported = (node: AstNode | undefined): string | undefined => {
    const name = identifierName(node);
    if (name === undefined || node === undefined || !use.free.get(name)?.includes(node))
      return undefined;
    const binding = module.bindings.get(name);
    return binding?.kind === "import" ? binding.imported : undefined;
  };
  return (part) => {
    if (part.type === "MemberExpression" && imported(childNode(part, "object")) === "*") {
      return nameText(childNode(part, "property"));
    }
    const name = imported(part);
    return name === "*" ? undefined : name;
  };
}

function functionIn(text: string): AstNode | undefined {
  let program: AstNode;
  try {
    program = parseProgram("function.js", text);
  } catch {
    return undefined;
  }
  const statement = Array.isArray(program.body) ? program.body[0] : undefined;
  const outer = isAstNode(statement) ? childNode(statement, "expression") : undefined;
  if (outer === undefined) return undefined;
  if (isFunctionNode(outer)) return outer;
  const list = isClassNode(outer) ? childNode(outer, "body")?.body : outer.properties;
  const member = Array.isArray(list) && list.length === 1 ? list[0] : undefined;
  if (!isAstNode(member) || member.kind === "get" || member.kind === "set") return undefined;
  const value = childNode(member, "value");
  return value !== undefined && isFunctionNode(value) ? value : undefined;
}
