import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { transformSync } from "esbuild";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeNodes } from "../../../../e2e/fixtures/code-hash/strategy.ts";
import { CodeHashError, openCodeHasher } from "./index.ts";

const fixture = fileURLToPath(new URL("../../../../e2e/fixtures/code-hash", import.meta.url));
const vectors = fileURLToPath(new URL("../../../../e2e/vectors/code-hash.json", import.meta.url));
const recipe = fileURLToPath(new URL("./code-hash.ts", import.meta.url));

type Hashes = Record<string, { hash: string; reached: string[] }>;

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "code-hash-"));
  build("ts", (text) => text);
  build(
    "tsc",
    (text) =>
      ts.transpileModule(text, {
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          rewriteRelativeImportExtensions: true,
          verbatimModuleSyntax: true,
          removeComments: true,
        },
      }).outputText,
  );
  build("esbuild", (text) => transformSync(text, { loader: "ts", target: "esnext" }).code);
  build(
    "kept-names",
    (text) =>
      transformSync(text, { loader: "ts", target: "esnext", keepNames: true, charset: "ascii" })
        .code,
  );
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

function build(form: string, compile: (text: string) => string): void {
  const folder = join(root, form);
  cpSync(fixture, folder, { recursive: true });
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const path = join(folder, name);
    const text = compile(readFileSync(path, "utf8"));
    rmSync(path);
    writeFileSync(
      form === "ts" ? path : path.replace(/ts$/, "js"),
      form === "ts" ? text : text.replace(/(from "\.[^"]*)\.ts"/g, '$1.js"'),
    );
  }
  write(form, "package.json", '{ "type": "module" }');
  write(form, "node_modules/decimal.js/package.json", manifest("1.2.3"));
  write(form, "node_modules/decimal.js/index.js", "export const Decimal = Math;");
}

function manifest(version: string): string {
  return JSON.stringify({ name: "decimal.js", version, type: "module", exports: "./index.js" });
}

function write(form: string, name: string, text: string): void {
  const path = join(root, form, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Runs the fixture in a Node process of its own, as a user's machine would, and hashes what it then holds. */
function hashesInNode(form: string, file: string): Hashes {
  const path = join(root, form, file);
  const program = `
    import { openCodeHasher } from ${JSON.stringify(pathToFileURL(recipe).href)};
    const hasher = openCodeHasher({ modulePath: ${JSON.stringify(path)} });
    const nodes = (await import(${JSON.stringify(pathToFileURL(path).href)})).makeNodes();
    console.log(JSON.stringify(Object.fromEntries(Object.entries(nodes).map(([k, fn]) => [k, hasher(fn)]))));`;
  const args = ["--no-warnings", "--input-type=module", "-e", program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
}

describe("the same code", () => {
  test("has one hash from type stripping, tsc, esbuild and esbuild with kept names", () => {
    const stripped = hashesInNode("ts", "strategy.ts");

    const unlabelled = (hashes: Hashes) =>
      Object.fromEntries(Object.entries(hashes).map(([name, { hash }]) => [name, hash]));
    for (const form of ["tsc", "esbuild", "kept-names"]) {
      expect(unlabelled(hashesInNode(form, "strategy.js")), form).toEqual(unlabelled(stripped));
    }
    expect(new Set(Object.values(unlabelled(stripped))).size).toBe(Object.keys(stripped).length);
  });

  test("has that hash, too, when a test runner has transformed the module", () => {
    const modulePath = join(root, "ts", "strategy.ts");
    const hasher = openCodeHasher({ modulePath });
    const here: Hashes = {};
    for (const [name, fn] of Object.entries(makeNodes())) {
      const { hash, reached } = hasher(fn);
      here[name] = { hash, reached: [...reached] };
    }

    expect(here).toEqual(hashesInNode("ts", "strategy.ts"));
  });

  test("has the hashes of the golden file", () => {
    const golden = JSON.parse(readFileSync(vectors, "utf8"));

    expect(hashesInNode("ts", "strategy.ts")).toEqual(golden.cases);
  });
});

/** Hashes a function of a module given as texts; the function is taken from its own text. */
function hashOf(source: string, fnText: string, files: Record<string, string> = {}): string {
  const all = new Map(Object.entries({ "/p/strategy.ts": source, ...files }));
  const hasher = openCodeHasher({
    modulePath: "/p/strategy.ts",
    readFile: (path) => {
      const text = all.get(path);
      if (text === undefined) throw new Error(`no file ${path}`);
      return text;
    },
  });
  return hasher(runtimeFunction(fnText)).hash;
}

/** A function object with this very text, without the names around it. */
function runtimeFunction(text: string): (...args: never[]) => unknown {
  return new Function(`return ${text}`)();
}

function failure(run: () => unknown): CodeHashError {
  try {
    run();
  } catch (error) {
    if (error instanceof CodeHashError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

const compute = "(w, p) => mean(w.close, p.n)";
const strategy = `import { mean } from "./helpers.ts";\nexport const node = { compute: ${compute} };`;
const helpers = `import { sum } from "stats";
const half = 0.5;
export const mean = (v, n) => sum(v) * half / n;
export const other = 1;`;
const withFiles = (text: string, version = "1.0.0") => ({
  "/p/helpers.ts": text,
  "/p/node_modules/stats/package.json": JSON.stringify({ name: "stats", version }),
});

test("a sum of two hundred terms can be hashed", () => {
  const text = `(w) => ${Array.from({ length: 200 }, (_, index) => `w[${index}]`).join(" + ")}`;

  expect(hashOf(`export const c = ${text};`, text)).toMatch(/^blake3:/);
});

describe("other code", () => {
  const base = () => hashOf(strategy, compute, withFiles(helpers));

  test("a changed helper, constant or package version changes the hash", () => {
    expect(hashOf(strategy, compute, withFiles(helpers.replace("/ n", "/ (n - 1)")))).not.toBe(
      base(),
    );
    expect(hashOf(strategy, compute, withFiles(helpers.replace("0.5", "0.25")))).not.toBe(base());
    expect(hashOf(strategy, compute, withFiles(helpers, "1.0.1"))).not.toBe(base());
  });

  test("comments, layout, types and code that is not reached do not", () => {
    const same = helpers
      .replace("(v, n)", "(v: Float64Array, /* bars */ n: number): number")
      .replace("other = 1", "other = 2")
      .replace("half / n", "((half as number)) /\n n");

    expect(hashOf(strategy, compute, withFiles(same))).toBe(base());
    expect(hashOf(`// moved\n\n${strategy}`, compute, withFiles(helpers))).toBe(base());
  });

  test("names of locals do not count, operators and literals do", () => {
    const one = (text: string) => hashOf(`export const c = ${text};`, text);

    expect(one("(w) => { const a = w[0]; return a - 1; }")).toBe(
      one("(x) => { const b = x[0]; return b - 1; }"),
    );
    expect(one("(w) => w[0] - 1")).not.toBe(one("(w) => w[0] + 1"));
    expect(one("(w) => w[0] - 1")).not.toBe(one("(w) => w[0] - 2"));
    expect(one("(a, b) => a - b")).not.toBe(one("(a, b) => b - a"));
    expect(one("(w) => w?.[0]")).not.toBe(one("(w) => w[0]"));
    expect(one("(w) => w.x")).not.toBe(one("(w) => w.y"));
    expect(one('(w) => w + 1 + "2"')).not.toBe(one('(w) => w + "12"'));
  });

  test("statements that fill a constant while its module loads count", () => {
    const one = (value: number) =>
      hashOf(
        `const t = new Map(); t.set("a", ${value}); const c = () => t.get("a");`,
        '() => t.get("a")',
      );

    expect(one(1)).not.toBe(one(2));
  });
});

describe("what cannot be hashed is refused by name", () => {
  test("a captured local", () => {
    const error = failure(() =>
      hashOf("export function make(n) { return { compute: (w) => w[n] }; }", "(w) => w[n]"),
    );

    expect(error).toMatchObject({ reason: "CAPTURED_LOCAL", symbol: "n" });
    expect(error.message).toContain('"n"');
    expect(error.message).toContain("declare that as a param, as in params: { n }");
    expect(error.message).toMatch(/\.[jt]s:1\)$/);
  });

  test("a variable kept between bars, with what to do instead", () => {
    const code = `export function make() {
      let peak = 0;
      return { compute: (w) => (peak = Math.max(peak, w[0])) };
    }`;
    const error = failure(() => hashOf(code, "(w) => (peak = Math.max(peak, w[0]))"));

    expect(error).toMatchObject({ reason: "CAPTURED_LOCAL", symbol: "peak", line: 3 });
    expect(error.message).toContain("a node keeps nothing between bars");
  });

  test("`this`, of the class around it or of its caller", () => {
    const inClass = "class S { setup() { return { compute: (w) => w[this.n] }; } }";
    const method = "const o = { compute(w) { return w[this.n]; } };";

    expect(failure(() => hashOf(inClass, "(w) => w[this.n]"))).toMatchObject({
      reason: "CAPTURED_LOCAL",
      symbol: "this",
    });
    expect(
      failure(() => hashOf(method, "({ compute(w) { return w[this.n]; } }).compute")),
    ).toMatchObject({ reason: "CAPTURED_LOCAL", symbol: "this" });
  });

  test.each([
    ["MUTABLE_STATE", "let k = 1; k = 2; const c = (w) => w[k];", "(w) => w[k]", "k"],
    ["MUTABLE_STATE", "const s = { n: 0 }; const c = (w) => s.n++;", "(w) => s.n++", "s"],
    ["NONDETERMINISTIC", "const c = () => Math.random();", "() => Math.random()", "Math.random"],
    ["NONDETERMINISTIC", "const c = () => Date.now();", "() => Date.now()", "Date.now"],
    ["UNKNOWN_GLOBAL", "const c = () => fetch(1);", "() => fetch(1)", "fetch"],
    ["UNRESOLVED_IMPORT", 'import { x } from "none"; const c = () => x;', "() => x", "none"],
    ["FUNCTION_NOT_FOUND", "const c = (w) => w;", "(w) => w + 1", ""],
    ["UNSUPPORTED_FUNCTION", "const c = Math.max;", "Math.max", "max"],
    ["PARSE_FAILED", "const c = (w => ;", "(w) => w", undefined],
  ])("%s: %s", (reason, source, text, symbol) => {
    expect(failure(() => hashOf(source, text))).toMatchObject({ reason, symbol });
  });

  test("one text with two meanings", () => {
    const files = { "/p/b.ts": "const k = 2; export const d = (w) => w[k];" };
    const source = 'import { d } from "./b.ts"; const k = 1; export const c = (w) => w[k];';

    expect(failure(() => hashOf(source, "(w) => w[k]", files)).reason).toBe("AMBIGUOUS_FUNCTION");
  });

  test("but two equal functions of one module share their hash", () => {
    const source = "const a = (w) => w[0]; const b = (w) => w[0];";

    expect(hashOf(source, "(w) => w[0]")).toMatch(/^blake3:[0-9a-f]{64}$/);
  });
});

describe("a function of a package", () => {
  const text = "(w) => twice(w[0])";
  const nodes = "const twice = (x) => 2 * x; export const make = () => ((w) => twice(w[0]));";
  const folder = "/p/node_modules/@them/nodes";
  const manifest = (exports: unknown, version = "1.0.0") =>
    JSON.stringify({ name: "@them/nodes", version, exports });
  const user = 'import { make } from "@them/nodes"; export const n = make();';
  const installed = (more: Record<string, string>, exports: unknown = "./dist/index.js") => ({
    [`${folder}/package.json`]: manifest(exports),
    [`${folder}/dist/index.js`]: 'export { make } from "./make.js";',
    [`${folder}/dist/make.js`]: nodes,
    ...more,
  });

  test("has the hash it would have in the author's own files, whatever the package's version", () => {
    const own = hashOf('import { make } from "./make.ts";', text, { "/p/make.ts": nodes });

    expect(hashOf(user, text, installed({}))).toBe(own);
    const later = { [`${folder}/package.json`]: manifest("./dist/index.js", "2.0.0") };
    expect(hashOf(user, text, installed(later))).toBe(own);
    const changed = { [`${folder}/dist/make.js`]: nodes.replace("2 * x", "3 * x") };
    expect(hashOf(user, text, installed(changed))).not.toBe(own);
  });

  test("is found through conditions and subpaths of the manifest, and through a file of one's own", () => {
    const own = hashOf(user, text, installed({}));
    const conditions = { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } };
    const subpath = { "./make": { import: "./dist/make.js" } };

    expect(hashOf(user, text, installed({}, conditions))).toBe(own);
    const deep = user.replace("@them/nodes", "@them/nodes/make");
    expect(hashOf(deep, text, installed({}, subpath))).toBe(own);
    const between = installed({ "/p/mine.ts": user });
    expect(hashOf('import { n } from "./mine.ts";', text, between)).toBe(own);
  });

  test("is taken from the file that Node would import, not from another of the manifest", () => {
    const own = hashOf(user, text, installed({}));
    const browser = { [`${folder}/browser.js`]: nodes.replace("2 * x", "3 * x") };
    const conditions = {
      ".": {
        browser: "./browser.js",
        require: "./browser.js",
        node: { types: "./dist/index.d.mts", import: "./dist/index.js" },
      },
    };
    const star = { "./*.js": "./dist/*.js", "./internal/*": null };

    expect(hashOf(user, text, installed(browser, conditions))).toBe(own);
    const deep = user.replace("@them/nodes", "@them/nodes/make.js");
    expect(hashOf(deep, text, installed({}, star))).toBe(own);
  });

  test("counts the version of a package that its package uses", () => {
    const dep = `${folder}/node_modules/dep/package.json`;
    const uses = 'import { twice } from "dep"; export const make = () => ((w) => twice(w[0]));';
    const withDep = (version: string) =>
      hashOf(
        user,
        text,
        installed({
          [`${folder}/dist/make.js`]: uses,
          [dep]: JSON.stringify({ name: "dep", version }),
        }),
      );

    expect(withDep("1.0.0")).toBe(withDep("1.0.0"));
    expect(withDep("1.0.0")).not.toBe(withDep("1.0.1"));
  });

  test("is found beside a package that cannot be read, and in one whose files import each other", () => {
    const broken = {
      "/p/node_modules/broken/package.json": JSON.stringify({ name: "broken", version: "1.0.0" }),
      "/p/node_modules/broken/index.js": "export const = ;",
      "/p/node_modules/odd/package.json": "no manifest",
      [`${folder}/dist/index.js`]: 'export { make } from "./make.js"; export const one = 1;',
      [`${folder}/dist/make.js`]: `export { one } from "./index.js"; ${nodes}`,
    };
    const both = `import { b } from "broken"; import { o } from "odd"; ${user} b(o);`;

    expect(hashOf(both, text, installed(broken))).toBe(hashOf(user, text, installed({})));
  });

  test("is not looked for in packages that nothing of the author's imports", () => {
    const reason = failure(() => hashOf("export const n = 1;", text, installed({}))).reason;

    expect(reason).toBe("FUNCTION_NOT_FOUND");
  });
});
