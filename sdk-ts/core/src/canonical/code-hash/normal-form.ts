import {
  type AstNode,
  childList,
  childNode,
  identifierName,
  isAstNode,
  isErased,
  isFunctionNode,
  meaningfulFields,
  memberName,
  unwrapped,
} from "./ast-node.ts";
import type { NameUse } from "./name-use.ts";

/** A syntax tree as JSON data, the same for every way of writing or compiling one piece of code. */
export type NormalForm = string | boolean | null | NormalForm[] | { [field: string]: NormalForm };

/** Names a foreign identifier or member differently, e.g. by what it imports; undefined leaves it alone. */
export type Renaming = (node: AstNode) => string | undefined;

/**
 * The normal form of a piece of code. Blind to layout, comments, types, parentheses, quotes, number notation,
 * trailing commas, shorthand properties, `undefined` against `void 0`, string constants split by `+`, and to the
 * names of what it declares itself (compilers rename shadowing variables); names from outside stay.
 */
export function normalForm(root: AstNode, use: NameUse, renaming?: Renaming): NormalForm {
  return new Normaliser(root, use, renaming ?? (() => undefined)).of(root);
}

class Normaliser {
  readonly #root: AstNode;
  readonly #use: NameUse;
  readonly #renaming: Renaming;
  readonly #numbers = new Map<object, number>();

  constructor(root: AstNode, use: NameUse, renaming: Renaming) {
    this.#root = root;
    this.#use = use;
    this.#renaming = renaming;
  }

  of(wrapped: AstNode): NormalForm {
    const node = simplified(unwrapped(wrapped));
    const renamed = this.#renaming(node);
    if (renamed !== undefined) return ["import", renamed];
    const text = stringConstant(node);
    if (text !== undefined) return ["string", text];
    switch (node.type) {
      case "Identifier":
        return this.#identifier(node);
      case "Literal":
        return literal(node);
      case "UnaryExpression":
        return isVoidOfNumber(node) ? ["undefined"] : this.#generic(node);
      case "BinaryExpression":
        return node.operator === "+" ? this.#sum(node) : this.#generic(node);
      case "TaggedTemplateExpression":
        return ["tagged", this.#child(node, "tag"), this.#template(node, true)];
      case "TemplateLiteral":
        return this.#template(node, false);
      case "MemberExpression":
        return this.#member(node);
      case "Property":
      case "MethodDefinition":
      case "PropertyDefinition":
      case "AccessorProperty":
        return this.#property(node);
      default:
        return this.#generic(node);
    }
  }

  #identifier(node: AstNode): NormalForm {
    const binding = this.#use.locals.get(node);
    if (binding === undefined) {
      return node.name === "undefined" ? ["undefined"] : ["name", String(node.name)];
    }
    const number = this.#numbers.get(binding) ?? this.#numbers.size;
    this.#numbers.set(binding, number);
    return ["local", String(number)];
  }

  #generic(node: AstNode): NormalForm {
    const isRootFunction = node === this.#root && isFunctionNode(node);
    // A declaration, an expression and a method with the same parameters and body are one function.
    const isArrow = node.type === "ArrowFunctionExpression";
    const form: { [field: string]: NormalForm } = {
      is: isRootFunction && !isArrow ? "Function" : node.type,
    };
    for (const field of meaningfulFields(node)) {
      if (field === "id" && isRootFunction) continue;
      if (field === "expression" && isFunctionNode(node)) continue;
      // A type-level mark on parameters; on a call it is `?.`.
      if (field === "optional" && node.type !== "CallExpression") continue;
      if (field === "decorators" && childList(node, field).length === 0) continue;
      const value = this.#value(node[field]);
      if (value !== null && value !== false) form[field] = value;
    }
    return form;
  }

  #value(value: unknown): NormalForm {
    if (isAstNode(value)) return isErased(value) ? null : this.of(value);
    if (Array.isArray(value)) {
      return value
        .filter((item) => !isAstNode(item) || !(isErased(item) || isNameHelperCall(item)))
        .map((item) => this.#value(item));
    }
    if (typeof value === "string" || typeof value === "boolean") return value;
    if (typeof value === "number") return String(value);
    return null;
  }

  #child(node: AstNode, field: string): NormalForm {
    return this.#value(node[field]);
  }

  /** `a + "x" + "y"` is `a + "xy"`: whatever `a` is, the left sum is a string already. */
  #sum(node: AstNode): NormalForm {
    const left = simplified(unwrapped(childNode(node, "left")!));
    const tail = stringConstant(unwrapped(childNode(node, "right")!));
    if (tail !== undefined && left.type === "BinaryExpression" && left.operator === "+") {
      const middle = stringConstant(unwrapped(childNode(left, "right")!));
      if (middle !== undefined) {
        const head = childNode(left, "left")!;
        const value: unknown = JSON.parse(joined(middle, tail));
        const right = { type: "Literal", start: 0, end: 0, value };
        return this.of({ ...left, left: head, right });
      }
    }
    return ["+", this.#child(node, "left"), this.#child(node, "right")];
  }

  #template(node: AstNode, isTagged: boolean): NormalForm {
    const template = isTagged ? childNode(node, "quasi")! : node;
    const texts = childList(template, "quasis").map((quasi) => templateText(quasi, isTagged));
    return { is: "Template", texts, values: this.#child(template, "expressions") };
  }

  #member(node: AstNode): NormalForm {
    const name = memberName(node);
    return {
      is: "Member",
      of: this.#child(node, "object"),
      at: name === undefined ? this.#child(node, "property") : ["name", name],
      optional: node.optional === true,
    };
  }

  #property(node: AstNode): NormalForm {
    const key = childNode(node, "key")!;
    const isPlain = node.computed !== true && key.type !== "PrivateIdentifier";
    return {
      is: node.type,
      kind: typeof node.kind === "string" ? node.kind : "",
      isMethod: node.method === true,
      isStatic: node.static === true,
      isComputed: node.computed === true,
      key: isPlain ? ["name", String(key.name ?? key.value)] : this.#value(key),
      value: this.#child(node, "value"),
      decorators: this.#value(childList(node, "decorators")),
    };
  }
}

/** Undoes what compilers wrap around an expression: `(0, f)` calls and the name-keeping helper. */
function simplified(node: AstNode): AstNode {
  if (node.type === "SequenceExpression") {
    const [zero, target, ...rest] = childList(node, "expressions");
    if (zero?.type === "Literal" && zero.value === 0 && target && rest.length === 0) {
      return simplified(unwrapped(target));
    }
  }
  const kept = nameHelperTarget(node);
  return kept === undefined ? node : simplified(unwrapped(kept));
}

/** `x` of `__name(x, "x")`, which compilers add to keep function names. */
function nameHelperTarget(node: AstNode): AstNode | undefined {
  if (node.type !== "CallExpression") return undefined;
  if (identifierName(childNode(node, "callee")) !== "__name") return undefined;
  const [target, name] = childList(node, "arguments");
  return name?.type === "Literal" ? target : undefined;
}

function isNameHelperCall(node: AstNode): boolean {
  if (node.type === "StaticBlock") {
    const body = childList(node, "body");
    return body.length > 0 && body.every(isNameHelperCall);
  }
  if (node.type !== "ExpressionStatement") return false;
  const call = childNode(node, "expression");
  return call !== undefined && nameHelperTarget(call) !== undefined;
}

/** A string constant (a literal, a template without holes, a sum of such) as JSON text, which is always well formed. */
function stringConstant(node: AstNode): string | undefined {
  if (node.type === "Literal" && typeof node.value === "string") return JSON.stringify(node.value);
  if (node.type === "TemplateLiteral" && childList(node, "expressions").length === 0) {
    return String(templateText(childList(node, "quasis")[0]!, false));
  }
  if (node.type === "BinaryExpression" && node.operator === "+") {
    const left = stringConstant(unwrapped(childNode(node, "left")!));
    const right = stringConstant(unwrapped(childNode(node, "right")!));
    if (left !== undefined && right !== undefined) return joined(left, right);
  }
  return undefined;
}

function joined(left: string, right: string): string {
  return JSON.stringify(JSON.parse(left) + JSON.parse(right));
}

function templateText(quasi: AstNode, isRaw: boolean): NormalForm {
  const value = quasi.value;
  if (typeof value !== "object" || value === null) return null;
  const text: unknown = isRaw ? "raw" in value && value.raw : "cooked" in value && value.cooked;
  return JSON.stringify(text);
}

function isVoidOfNumber(node: AstNode): boolean {
  const argument = childNode(node, "argument");
  return node.operator === "void" && typeof argument?.value === "number";
}

function literal(node: AstNode): NormalForm {
  if (typeof node.bigint === "string") return ["bigint", node.bigint];
  const regex = node.regex;
  if (typeof regex === "object" && regex !== null && "pattern" in regex && "flags" in regex) {
    return ["regex", JSON.stringify(regex.pattern), String(regex.flags)];
  }
  return ["literal", String(node.value)];
}
