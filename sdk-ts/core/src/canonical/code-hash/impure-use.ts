import {
  type AstNode,
  childList,
  childNode,
  children,
  identifierName,
  memberName,
  rootName,
  unwrapped,
} from "./ast-node.ts";
import {
  clockAdvice,
  impureGlobals,
  impureMembers,
  localMethods,
  utcAdvice,
} from "./language-globals.ts";

/** A use whose result depends on when or on which machine the code runs. */
export interface ImpureUse {
  /** What is used, such as `Date.now`. */
  readonly symbol: string;
  /** What to write instead. */
  readonly advice: string;
  readonly node: AstNode;
  /** The outside name that it is a use of; whoever declares that name means something else by it. */
  readonly root: string | undefined;
}

/** Finds impure uses while a piece of code is walked, parents before children. */
export class ImpurityVisitor {
  readonly uses: ImpureUse[] = [];
  /** Identifiers `Date` and `Math` in a place where what is done with them is judged. */
  readonly #judged = new Set<AstNode>();

  /** @param isFree whether a name comes from outside the piece */
  visit(node: AstNode, isFree: (name: string) => boolean): void {
    switch (node.type) {
      case "NewExpression":
      case "CallExpression":
        this.#call(node, isFree);
        break;
      case "MemberExpression":
        this.#member(node, isFree);
        break;
      case "BinaryExpression":
        if (node.operator === "instanceof") this.#judge(childNode(node, "right"));
        break;
      case "VariableDeclarator":
        this.#destructured(node, isFree);
        break;
      case "Identifier":
        this.#identifier(node, isFree);
        break;
    }
  }

  #call(node: AstNode, isFree: (name: string) => boolean): void {
    const callee = childNode(node, "callee");
    if (identifierName(callee) !== "Date" || !isFree("Date")) return;
    this.#judge(callee);
    const symbol = this.#impureDate(node);
    if (symbol === undefined) return;
    const isClock = symbol.endsWith("()");
    this.#note(symbol, isClock ? clockAdvice : utcAdvice, node, "Date");
  }

  /** What is impure about a call of `Date`, or `new Date` with these arguments. */
  #impureDate(node: AstNode): string | undefined {
    if (node.type === "CallExpression") return "Date()";
    const [first, ...more] = childList(node, "arguments");
    if (first === undefined) return "new Date()";
    if (more.length > 0 || first.type === "SpreadElement") return "new Date of parts in local time";
    const isLiteral = first.type === "Literal" && typeof first.value === "string";
    return isLiteral || first.type === "TemplateLiteral" ? "new Date of a text" : undefined;
  }

  #member(node: AstNode, isFree: (name: string) => boolean): void {
    const object = childNode(node, "object");
    const owner = identifierName(object);
    const member = memberName(node);
    if (owner !== undefined && member !== undefined && isFree(owner)) {
      this.#judge(object);
      const advice = impureMembers.get(`${owner}.${member}`);
      if (advice !== undefined) this.#note(`${owner}.${member}`, advice, node, owner);
    }
    const advice = member === undefined ? undefined : localMethods.get(member);
    const root = rootName(node);
    const outside = root !== undefined && isFree(root) ? root : undefined;
    if (advice !== undefined) this.#note(member!, advice, node, outside);
  }

  /** `const { max, min } = Math`. */
  #destructured(node: AstNode, isFree: (name: string) => boolean): void {
    const pattern = childNode(node, "id");
    const from = childNode(node, "init");
    const owner = identifierName(from);
    if (pattern?.type !== "ObjectPattern" || owner === undefined || !isFree(owner)) return;
    const names = children(pattern).map((property) => {
      const isPlain = property.type === "Property" && property.computed !== true;
      return isPlain ? identifierName(childNode(property, "key")) : undefined;
    });
    if (names.includes(undefined)) return; // then it is used as a value
    this.#judge(from);
    for (const name of names) {
      const advice = impureMembers.get(`${owner}.${name}`);
      if (advice !== undefined) this.#note(`${owner}.${name}`, advice, node, owner);
    }
  }

  #identifier(node: AstNode, isFree: (name: string) => boolean): void {
    const name = String(node.name);
    if (!isFree(name)) return;
    const advice = impureGlobals.get(name);
    if (advice !== undefined) this.#note(name, advice, node, name);
    if ((name !== "Date" && name !== "Math") || this.#judged.has(node)) return;
    this.#note(
      `${name} as a value`,
      `name its member where it is used, as in ${name}.${name === "Date" ? "UTC" : "max"}`,
      node,
      name,
    );
  }

  #judge(node: AstNode | undefined): void {
    if (node !== undefined) this.#judged.add(unwrapped(node));
  }

  #note(symbol: string, advice: string, node: AstNode, root: string | undefined): void {
    this.uses.push({ symbol, advice, node, root });
  }
}
