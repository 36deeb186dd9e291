import { parseSync } from "oxc-parser";
import {
  type AstNode,
  childList,
  childNode,
  identifierName,
  isAstNode,
  nameText,
} from "./ast-node.ts";
import { CodeHashError } from "./code-hash-error.ts";
import { nameUse } from "./name-use.ts";
import { patternNames } from "./scope-names.ts";

/** What a name at the top of a module stands for. */
export type ModuleBinding =
  | { readonly kind: "declared"; readonly node: AstNode; readonly isMutable: boolean }
  | { readonly kind: "import"; readonly from: string; readonly imported: string };

/** What an export gives: a name of its own module, an anonymous default, or another module's export. */
export type ModuleExport =
  | { readonly kind: "local"; readonly name: string }
  | { readonly kind: "default"; readonly node: AstNode }
  | { readonly kind: "import"; readonly from: string; readonly imported: string };

/** One parsed source file. `imported` is `"*"` for a namespace, `"default"` for a default import. */
export interface SourceModule {
  readonly path: string;
  readonly program: AstNode;
  readonly bindings: ReadonlyMap<string, ModuleBinding>;
  readonly exports: ReadonlyMap<string, ModuleExport>;
  /** Specifiers of `export * from`. */
  readonly starExports: readonly string[];
  /** Statements that run when the module loads and may fill a constant (`table.set(…)`). */
  readonly statements: readonly AstNode[];
}

/** @throws {CodeHashError} `PARSE_FAILED`. */
export function parseSourceModule(path: string, text: string): SourceModule {
  const program = parseProgram(path, text);
  const reader = new ModuleReader(path, program);
  for (const statement of childList(program, "body")) reader.read(statement);
  reader.markReassigned();
  return reader;
}

/** Parses text as a module; `path` decides between JavaScript and TypeScript. */
export function parseProgram(path: string, text: string): AstNode {
  const lang = /\.[cm]?ts$/.test(path) ? "ts" : /\.tsx$/.test(path) ? "tsx" : "js";
  const result = parseSync(path, text, { lang, sourceType: "module", preserveParens: false });
  const first = result.errors[0];
  if (first !== undefined) throw new CodeHashError("PARSE_FAILED", path, first.message);
  const program: unknown = result.program;
  if (!isAstNode(program)) throw new CodeHashError("PARSE_FAILED", path, "no syntax tree");
  return program;
}

class ModuleReader implements SourceModule {
  readonly path: string;
  readonly program: AstNode;
  readonly bindings = new Map<string, ModuleBinding>();
  readonly exports = new Map<string, ModuleExport>();
  readonly starExports: string[] = [];
  readonly statements: AstNode[] = [];

  constructor(path: string, program: AstNode) {
    this.path = path;
    this.program = program;
  }

  read(statement: AstNode): void {
    switch (statement.type) {
      case "ImportDeclaration":
        this.#readImport(statement);
        break;
      case "ExportNamedDeclaration":
        this.#readExport(statement);
        break;
      case "ExportDefaultDeclaration":
        this.#readDefault(statement);
        break;
      case "ExportAllDeclaration":
        this.#readStar(statement);
        break;
      case "VariableDeclaration":
      case "FunctionDeclaration":
      case "ClassDeclaration":
        this.#declare(statement);
        break;
      default:
        if (!statement.type.startsWith("TS")) this.statements.push(statement);
    }
  }

  /** `let` is as good as `const` unless somebody assigns to it, anywhere in the module. */
  markReassigned(): void {
    for (const name of nameUse(this.program).assigned) {
      const binding = this.bindings.get(name);
      if (binding?.kind === "declared") this.bindings.set(name, { ...binding, isMutable: true });
    }
  }

  #declare(statement: AstNode): string[] {
    const names: string[] = [];
    const parts =
      statement.type === "VariableDeclaration"
        ? childList(statement, "declarations").map((one) => ({ ...one, kind: statement.kind }))
        : [statement];
    for (const node of parts) {
      for (const name of patternNames(childNode(node, "id"))) {
        this.bindings.set(name, { kind: "declared", node, isMutable: false });
        names.push(name);
      }
    }
    return names;
  }

  #readImport(statement: AstNode): void {
    const from = specifierOf(statement);
    if (from === undefined || statement.importKind === "type") return;
    for (const one of childList(statement, "specifiers")) {
      const local = identifierName(childNode(one, "local"));
      if (local === undefined || one.importKind === "type") continue;
      const imported =
        one.type === "ImportNamespaceSpecifier"
          ? "*"
          : one.type === "ImportDefaultSpecifier"
            ? "default"
            : (nameText(childNode(one, "imported")) ?? local);
      this.bindings.set(local, { kind: "import", from, imported });
    }
  }

  #readExport(statement: AstNode): void {
    const declaration = childNode(statement, "declaration");
    if (declaration !== undefined) {
      for (const name of this.#declare(declaration))
        this.exports.set(name, { kind: "local", name });
      return;
    }
    const from = specifierOf(statement);
    for (const one of childList(statement, "specifiers")) {
      const local = nameText(childNode(one, "local"));
      const exported = nameText(childNode(one, "exported"));
      if (local === undefined || exported === undefined) continue;
      this.exports.set(
        exported,
        from === undefined
          ? { kind: "local", name: local }
          : { kind: "import", from, imported: local },
      );
    }
  }

  #readDefault(statement: AstNode): void {
    const node = childNode(statement, "declaration");
    if (node === undefined) return;
    const name = identifierName(node) ?? identifierName(childNode(node, "id"));
    if (name === undefined) this.exports.set("default", { kind: "default", node });
    else {
      if (node.type !== "Identifier") this.#declare(node);
      this.exports.set("default", { kind: "local", name });
    }
  }

  #readStar(statement: AstNode): void {
    const from = specifierOf(statement);
    if (from === undefined || statement.exportKind === "type") return;
    const name = nameText(childNode(statement, "exported"));
    if (name === undefined) this.starExports.push(from);
    else this.exports.set(name, { kind: "import", from, imported: "*" });
  }
}

function specifierOf(statement: AstNode): string | undefined {
  return nameText(childNode(statement, "source"));
}
