import { dirname, relative } from "node:path";
import { type AstNode, childNode } from "./ast-node.ts";
import { CodeHashError } from "./code-hash-error.ts";
import { type FunctionSite, isCaptured } from "./function-site.ts";
import { allowedGlobals, impureImport } from "./language-globals.ts";
import { type NameUse, nameUse } from "./name-use.ts";
import { type NormalForm, normalForm } from "./normal-form.ts";
import type { SourceModule } from "./source-module.ts";
import type { ForeignExport, FoundExport, ImportTarget, SourceTree } from "./source-tree.ts";

/** Most definitions one function may reach. */
const definitionsMax = 10_000;

/** Compilers write `void 0` for the one and add the other to keep function names; neither adds meaning. */
const compilerNames: ReadonlySet<string> = new Set(["undefined", "__name"]);

/** A function and all it reaches, as data to hash, with labels for people. */
export interface ReachedCode {
  /** One entry per definition, the function first, then in order of discovery; references are entry numbers. */
  readonly definitions: NormalForm[];
  /** `file#name`, `npm:name@version` and `node:name`, sorted. */
  readonly labels: string[];
}

interface Definition {
  readonly module: SourceModule;
  readonly label: string;
  /** The code itself and statements that fill it while its module loads. */
  readonly parts: readonly AstNode[];
  readonly isRoot: boolean;
}

/** Follows a function's free names to everything it can reach in its own package. */
export function reachedCode(tree: SourceTree, site: FunctionSite): ReachedCode {
  return new Reach(tree, site).run();
}

class Reach {
  readonly #tree: SourceTree;
  readonly #site: FunctionSite;
  readonly #folder: string;
  readonly #queue: Definition[];
  readonly #numbers = new Map<string, number>();
  readonly #labels = new Set<string>();

  constructor(tree: SourceTree, site: FunctionSite) {
    this.#tree = tree;
    this.#site = site;
    this.#folder = dirname(site.module.path);
    this.#queue = [{ module: site.module, label: "", parts: [site.node], isRoot: true }];
  }

  run(): ReachedCode {
    const definitions: NormalForm[] = [];
    for (let next = 0; next < this.#queue.length; next++) {
      if (next >= definitionsMax) {
        throw this.#error(
          this.#site.module,
          "UNSUPPORTED_FUNCTION",
          `reaches more than ${definitionsMax} definitions`,
        );
      }
      definitions.push(this.#define(this.#queue[next]!));
    }
    return { definitions, labels: [...this.#labels].sort() };
  }

  #define(definition: Definition): NormalForm {
    const forms: NormalForm[] = [];
    const targets = new Map<string, NormalForm>();
    for (const part of definition.parts) {
      const use = nameUse(part);
      forms.push(normalForm(part, use));
      if (definition.isRoot) this.#checkRoot(use);
      this.#checkPure(definition.module, use);
      for (const name of use.free.keys()) {
        if (compilerNames.has(name) || targets.has(name)) continue;
        targets.set(name, this.#nameTarget(definition.module, name));
      }
    }
    return { forms, names: [...targets].map(([name, target]): NormalForm => [name, target]) };
  }

  #checkRoot(use: NameUse): void {
    const { module } = this.#site;
    const locals = [...use.free.keys()].filter((name) => isCaptured(this.#site, name));
    if (use.outerReceiver !== undefined) locals.unshift(use.outerReceiver);
    const [first] = locals;
    if (first !== undefined) {
      const node = use.free.get(first)?.[0];
      throw this.#error(module, "CAPTURED_LOCAL", capturedText(locals, use), first, node);
    }
    for (const name of use.written) {
      const node = use.free.get(name)?.[0];
      throw this.#error(module, "MUTABLE_STATE", `writes to "${name}", outside itself`, name, node);
    }
  }

  #checkPure(module: SourceModule, use: NameUse): void {
    const what = (symbol: string) =>
      `uses ${symbol}, which gives a different result on each run or machine`;
    if (use.dynamic !== undefined) {
      throw this.#error(module, "NONDETERMINISTIC", what(use.dynamic), use.dynamic);
    }
    const unclean = use.impure.find(({ root }) => root === undefined || !module.bindings.has(root));
    if (unclean === undefined) return;
    const { symbol, advice, node } = unclean;
    throw this.#error(module, "NONDETERMINISTIC", `${what(symbol)}; ${advice}`, symbol, node);
  }

  #nameTarget(module: SourceModule, name: string): NormalForm {
    const binding = module.bindings.get(name);
    if (binding === undefined) {
      if (allowedGlobals.has(name)) return ["global", name];
      const what = `uses "${name}", which is not declared in its module and not part of the language`;
      throw this.#error(module, "UNKNOWN_GLOBAL", what, name);
    }
    if (binding.kind === "import") return this.#imported(module, binding.from, binding.imported);
    if (binding.isMutable) {
      const what = `reads "${name}", a module variable that is reassigned`;
      throw this.#error(module, "MUTABLE_STATE", what, name);
    }
    return this.#declared(module, name, binding.node);
  }

  #declared(module: SourceModule, name: string, node: AstNode): NormalForm {
    const isVariable = node.type === "VariableDeclarator";
    const isSimple = isVariable && childNode(node, "id")?.type === "Identifier";
    const code = isSimple ? childNode(node, "init") : node;
    if (code === undefined) {
      throw this.#error(
        module,
        "MUTABLE_STATE",
        `reads "${name}", which is never assigned a value`,
        name,
      );
    }
    const fills = module.statements.filter((statement) => {
      const use = nameUse(statement);
      return use.written.has(name) || use.methodCalled.has(name);
    });
    return this.#enqueue(`${module.path}\0${code.start}`, {
      module,
      label: `${this.#relative(module.path)}#${name}`,
      parts: [code, ...fills],
      isRoot: false,
    });
  }

  #enqueue(key: string, definition: Definition): NormalForm {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#queue.length;
      this.#numbers.set(key, number);
      this.#queue.push(definition);
      this.#labels.add(definition.label);
    }
    return ["definition", String(number)];
  }

  #imported(module: SourceModule, from: string, imported: string): NormalForm {
    const target = this.#tree.target(module, from);
    if (target.kind !== "file") return this.#foreign(module, target, from, imported);
    const file = this.#tree.module(target.path);
    if (imported === "*") return this.#namespace(file);
    const found = this.#tree.findExport(file, imported);
    if (found === undefined) {
      throw this.#error(
        module,
        "UNRESOLVED_IMPORT",
        `"${from}" does not export "${imported}"`,
        imported,
      );
    }
    return this.#exported(module, found, imported);
  }

  #exported(
    module: SourceModule,
    found: FoundExport | ForeignExport,
    imported: string,
  ): NormalForm {
    if (!("module" in found)) {
      if (found.target.kind === "file")
        return this.#namespace(this.#tree.module(found.target.path));
      return this.#foreign(module, found.target, found.specifier, found.imported);
    }
    if (found.found.kind === "local") return this.#nameTarget(found.module, found.found.name);
    return this.#enqueue(`${found.module.path}\0${found.found.node.start}`, {
      module: found.module,
      label: `${this.#relative(found.module.path)}#${imported}`,
      parts: [found.found.node],
      isRoot: false,
    });
  }

  /** `import * as x`: any export may be used, so all of them count. */
  #namespace(file: SourceModule): NormalForm {
    const stars = file.starExports.map((one): NormalForm => ["*", this.#imported(file, one, "*")]);
    const names = [...file.exports.keys()].sort();
    const members = names.map((name): NormalForm => {
      const found = this.#tree.findExport(file, name);
      return [name, found === undefined ? null : this.#exported(file, found, name)];
    });
    return ["namespace", ...members, ...stars];
  }

  /** @param module where it is imported */
  #foreign(
    module: SourceModule,
    target: ImportTarget,
    specifier: string,
    imported: string,
  ): NormalForm {
    switch (target.kind) {
      case "package":
        this.#labels.add(`npm:${target.name}@${target.version}`);
        return ["package", `${target.name}@${target.version}`, specifier, imported];
      case "node": {
        const advice = impureImport(target.name, imported);
        if (advice !== undefined) {
          const what = `uses "${imported}" of ${specifier}, which may give a different result on each run or machine; ${advice}`;
          throw this.#error(module, "NONDETERMINISTIC", what, specifier);
        }
        this.#labels.add(`node:${target.name}`);
        return ["node", target.name, imported];
      }
      default: {
        this.#labels.add(this.#relative(target.path));
        const data: unknown = JSON.parse(this.#tree.text(target.path));
        return ["json", JSON.stringify(data), imported];
      }
    }
  }

  #relative(path: string): string {
    return relative(this.#folder, path).replaceAll("\\", "/");
  }

  /** @param at node whose line is reported. @default the function, for an error in its own module */
  #error(
    module: SourceModule,
    reason: CodeHashError["reason"],
    what: string,
    symbol?: string,
    at: AstNode | undefined = module === this.#site.module ? this.#site.node : undefined,
  ) {
    const line = at === undefined ? undefined : this.#lineOf(module, at);
    return new CodeHashError(reason, module.path, `the compute function ${what}`, symbol, line);
  }

  #lineOf(module: SourceModule, node: AstNode): number {
    return this.#tree.text(module.path).slice(0, node.start).split("\n").length;
  }
}

/** Error text for names captured from the code around a function: what is wrong, and what to write instead. */
function capturedText(names: readonly string[], use: NameUse): string {
  const told = (some: readonly string[]): string => some.map((name) => `"${name}"`).join(", ");
  const changed = names.filter((name) => use.written.has(name));
  if (changed.length > 0) {
    return `changes ${told(changed)} of the code around it, but a node keeps nothing between bars: make it the state of a FoldNode, or compute it from a window of more rows (period)`;
  }
  const [first] = names;
  const fix = first === "this" ? "" : `, as in params: { ${first} }, and read params.${first}`;
  return `uses ${told(names)} of the code around it; declare that as a param${fix}`;
}
