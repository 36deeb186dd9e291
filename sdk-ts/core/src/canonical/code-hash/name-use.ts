import {
  type AstNode,
  childNode,
  children,
  identifierName,
  isClassNode,
  isErased,
  isFunctionNode,
  rootName,
  unwrapped,
} from "./ast-node.ts";
import { type ImpureUse, ImpurityVisitor } from "./impure-use.ts";
import { scopeNames } from "./scope-names.ts";

/** How a piece of code uses names: which are its own, which come from outside, and what it does to those. */
export interface NameUse {
  /** Each identifier that means a name declared inside, with an object standing for that declaration. */
  readonly locals: ReadonlyMap<AstNode, object>;
  /** Identifiers whose name comes from outside, by name, in source order. */
  readonly free: ReadonlyMap<string, readonly AstNode[]>;
  /** Outside names that are assigned to. */
  readonly assigned: ReadonlySet<string>;
  /** Outside names that are assigned to, or whose members are. */
  readonly written: ReadonlySet<string>;
  /** Outside names with a method called on them (`name.method()`). */
  readonly methodCalled: ReadonlySet<string>;
  /** Uses whose result depends on when or where the code runs. */
  readonly impure: readonly ImpureUse[];
  /** `this`, `super` or `new.target`, if it is that of an enclosing function or of the piece's own caller. */
  readonly outerReceiver: string | undefined;
  /** `import.meta` or `import()`, if used. */
  readonly dynamic: string | undefined;
}

interface Scope {
  readonly bindings: ReadonlyMap<string, object>;
  readonly parent: Scope | undefined;
}

/** Analyses a function, class, declarator, expression or statement as a piece of its own. */
export function nameUse(root: AstNode): NameUse {
  const visitor = new NameVisitor();
  visitor.visit(root, undefined, false);
  return visitor;
}

class NameVisitor implements NameUse {
  readonly locals = new Map<AstNode, object>();
  readonly free = new Map<string, AstNode[]>();
  readonly assigned = new Set<string>();
  readonly written = new Set<string>();
  readonly methodCalled = new Set<string>();
  readonly #impurities = new ImpurityVisitor();
  readonly impure = this.#impurities.uses;
  outerReceiver: string | undefined;
  dynamic: string | undefined;

  visit(wrapped: AstNode, outer: Scope | undefined, hasReceiver: boolean): void {
    const node = unwrapped(wrapped);
    if (isErased(node)) return;
    const names = scopeNames(node);
    const scope = names === undefined ? outer : opened(names, outer);
    if (node.type === "Identifier") this.#use(node, scope);
    this.#impurities.visit(node, (name) => lookUp(name, scope) === undefined);
    this.#noteSpecials(node, scope, hasReceiver);
    // The piece itself has no receiver to rely on: a function at the root that uses `this` depends on its caller.
    const isRootFunction = outer === undefined && isFunctionNode(node);
    const receives =
      hasReceiver ||
      (isFunctionNode(node) && node.type !== "ArrowFunctionExpression" && !isRootFunction) ||
      isClassNode(node);
    for (const child of namedChildren(node)) {
      // A declaration's own name is known outside it; the inner scope holds it, too, for recursion.
      this.visit(child, isDeclarationName(node, child) && outer ? outer : scope, receives);
    }
  }

  #use(node: AstNode, scope: Scope | undefined): void {
    const name = String(node.name);
    const binding = lookUp(name, scope);
    if (binding !== undefined) this.locals.set(node, binding);
    else this.free.set(name, [...(this.free.get(name) ?? []), node]);
  }

  #noteSpecials(node: AstNode, scope: Scope | undefined, hasReceiver: boolean): void {
    switch (node.type) {
      case "ThisExpression":
      case "Super":
        if (!hasReceiver) this.outerReceiver = node.type === "Super" ? "super" : "this";
        break;
      case "MetaProperty": {
        const isTarget = identifierName(childNode(node, "meta")) === "new";
        if (!isTarget) this.dynamic = "import.meta";
        else if (!hasReceiver) this.outerReceiver = "new.target";
        break;
      }
      case "ImportExpression":
        this.dynamic = "import()";
        break;
      case "AssignmentExpression":
      case "ForInStatement":
      case "ForOfStatement":
        this.#noteWrite(childNode(node, "left"), scope);
        break;
      case "UpdateExpression":
        this.#noteWrite(childNode(node, "argument"), scope);
        break;
      case "UnaryExpression":
        if (node.operator === "delete") this.#noteWrite(childNode(node, "argument"), scope);
        break;
      case "CallExpression": {
        const callee = childNode(node, "callee");
        if (callee !== undefined && unwrapped(callee).type === "MemberExpression") {
          this.#note(this.methodCalled, rootName(callee), scope);
        }
        break;
      }
    }
  }

  #noteWrite(target: AstNode | undefined, scope: Scope | undefined): void {
    if (target === undefined) return;
    const node = unwrapped(target);
    if (node.type === "ObjectPattern" || node.type === "ArrayPattern") {
      for (const child of namedChildren(node)) this.#noteWrite(child, scope);
    } else if (node.type === "Property") this.#noteWrite(childNode(node, "value"), scope);
    else if (node.type === "RestElement") this.#noteWrite(childNode(node, "argument"), scope);
    else if (node.type === "AssignmentPattern") this.#noteWrite(childNode(node, "left"), scope);
    else {
      this.#note(this.assigned, identifierName(node), scope);
      this.#note(this.written, rootName(node), scope);
    }
  }

  #note(set: Set<string>, name: string | undefined, scope: Scope | undefined): void {
    if (name !== undefined && lookUp(name, scope) === undefined) set.add(name);
  }
}

/** Children in which an identifier is a use of a name (not a property key, label or member). */
function namedChildren(node: AstNode): AstNode[] {
  const skipped = new Set<AstNode | undefined>();
  if (node.computed !== true) {
    if (node.type === "MemberExpression") skipped.add(childNode(node, "property"));
    else if (node.type !== "Property" || node.shorthand !== true) {
      skipped.add(childNode(node, "key"));
    }
  }
  if (node.type === "Property" && node.shorthand === true) {
    // Key and value are one identifier, written once: the value is the use.
    skipped.add(childNode(node, "key"));
  }
  if (node.type === "MetaProperty") return [];
  if (["LabeledStatement", "BreakStatement", "ContinueStatement"].includes(node.type)) {
    skipped.add(childNode(node, "label"));
  }
  return children(node).filter((child) => !skipped.has(child));
}

function isDeclarationName(parent: AstNode, child: AstNode): boolean {
  const isDeclaration = parent.type === "FunctionDeclaration" || parent.type === "ClassDeclaration";
  return isDeclaration && child === parent.id;
}

function opened(names: ReadonlySet<string>, parent: Scope | undefined): Scope {
  const bindings = new Map<string, object>();
  for (const name of names) bindings.set(name, {});
  return { bindings, parent };
}

function lookUp(name: string, scope: Scope | undefined): object | undefined {
  for (let at = scope; at !== undefined; at = at.parent) {
    const binding = at.bindings.get(name);
    if (binding !== undefined) return binding;
  }
  return undefined;
}
