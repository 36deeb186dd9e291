// Builds the published workspaces and packs each into a tarball: plain JavaScript, declarations and source maps.
//
//   node .ci/pack.ts [--out dist/packages] [--js-only]
//
// OUT/*.tgz are the tarballs, OUT/stage/<folder>/ what is in them. `--js-only` skips declarations and type checking:
// seconds instead of a minute. A package keeps the layout of its folder (dist beside migrations, bin and templates, as
// src is), so a file found from `import.meta.url` is found in both.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import ts from "typescript";

const root = resolve(import.meta.dirname, "..");

interface Workspace {
  /** Folder in the repository. */
  readonly folder: string;
  /** Entries of `exports` that are for this repository's own tests. */
  readonly unpublished?: readonly string[];
  /** Files from elsewhere in the repository, by their place in the package. */
  readonly brought?: Readonly<Record<string, string>>;
  /** The package brings the pinned Node, so that its command also runs where the system's Node is too old. */
  readonly bringsNode?: boolean;
}

/** In the order of their dependencies. */
const workspaces: readonly Workspace[] = [
  { folder: "gen/ts" },
  { folder: "sdk-ts/core" },
  { folder: "sdk-ts/sdk" },
  {
    folder: "services/kit",
    unpublished: ["./testing"],
    brought: { "descriptors.binpb": "proto/baseline.binpb" },
  },
  { folder: "services/dag-manager" },
  { folder: "services/world-service" },
  { folder: "services/gateway" },
  { folder: "services/embedded" },
  { folder: "cli", bringsNode: true },
];

interface Manifest {
  name: string;
  version: string;
  engines?: Record<string, string>;
  private?: boolean;
  /** In the repository the source file of each entry; as published what was built from it. */
  exports?: Record<string, string | Record<string, string>>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  scripts?: Record<string, string>;
  files?: string[];
}

const { values: options } = parseArgs({
  options: {
    out: { type: "string", default: "dist/packages" },
    "js-only": { type: "boolean", default: false },
  },
});
const out = resolve(options.out);
const stage = join(out, "stage");

const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const rootManifest = readManifest(root);
const versions = new Map(
  workspaces.map(({ folder }) => {
    const { name, version } = readManifest(join(root, folder));
    return [name, version];
  }),
);

rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
for (const old of globSync("*.tgz", { cwd: out })) rmSync(join(out, old));
const { compilerOptions, sources } = readBuildConfig();
/** One file alone does not show that its package holds ES modules. */
const moduleOptions: ts.CompilerOptions = {
  ...compilerOptions,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};
for (const source of sources) writeJavaScript(source);
if (!options["js-only"]) writeDeclarations();
for (const workspace of workspaces) {
  copyRunTimeFiles(workspace);
  writeManifest(workspace);
}
packAll();

/** Compiler options and source files of tsconfig.build.json. */
function readBuildConfig(): { compilerOptions: ts.CompilerOptions; sources: readonly string[] } {
  const file = join(root, "tsconfig.build.json");
  const read = ts.readConfigFile(file, ts.sys.readFile);
  const parsed = ts.parseJsonConfigFileContent(read.config, ts.sys, root);
  refuse([...(read.error ? [read.error] : []), ...parsed.errors]);
  return { compilerOptions: parsed.options, sources: parsed.fileNames };
}

/** Where the output of a source file goes: `<folder>/src/a/b.ts` → `stage/<folder>/dist/a/b.js`. */
function placeOf(source: string, ending: string): string {
  const path = relative(root, source).replaceAll("\\", "/");
  const workspace = workspaces.find(({ folder }) => path.startsWith(`${folder}/src/`));
  if (workspace === undefined) throw new Error(`${path} is in no workspace that is packed`);
  const inner = path.slice(`${workspace.folder}/src/`.length).replace(/\.ts$/, ending);
  return join(stage, workspace.folder, "dist", inner);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** File by file: every source is an isolated module, so no other file can change its JavaScript. */
function writeJavaScript(source: string): void {
  const { outputText, sourceMapText, diagnostics } = ts.transpileModule(
    readFileSync(source, "utf8"),
    { compilerOptions: moduleOptions, fileName: source, reportDiagnostics: true },
  );
  refuse(diagnostics ?? []);
  write(placeOf(source, ".js"), outputText);
  if (sourceMapText !== undefined) {
    const map: { sources: string[] } = JSON.parse(sourceMapText);
    map.sources = map.sources.map((path) => basename(path)); // its text is inside
    write(placeOf(source, ".js.map"), JSON.stringify(map));
  }
}

/** Declarations of the whole program; a type error stops the packing. */
function writeDeclarations(): void {
  const program = ts.createProgram(sources, { ...compilerOptions, emitDeclarationOnly: true });
  refuse(ts.getPreEmitDiagnostics(program));
  const { diagnostics } = program.emit(undefined, (_file, text, _mark, _error, from) => {
    const source = from?.[0]?.fileName;
    if (source === undefined) return;
    // The compiler turns `./a.ts` into `./a.js` in JavaScript alone.
    const imports = /((?:from|import) |import\()"(\.{1,2}\/[^"]+)\.ts"/g;
    write(placeOf(source, ".d.ts"), text.replace(imports, '$1"$2.js"'));
  });
  refuse(diagnostics);
}

function refuse(diagnostics: readonly ts.Diagnostic[]): void {
  if (diagnostics.length === 0) return;
  const host: ts.FormatDiagnosticsHost = {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => "\n",
  };
  process.stderr.write(ts.formatDiagnostics(diagnostics, host));
  process.stderr.write(`${diagnostics.length} errors; nothing is packed\n`);
  process.exit(1);
}

/** Copies what the program reads at run time besides its code. */
function copyRunTimeFiles({ folder, brought = {} }: Workspace): void {
  const from = join(root, folder);
  for (const entry of readdirSync(from)) {
    if (!/^(bin|templates|migrations.*|README\.md)$/.test(entry)) continue;
    cpSync(join(from, entry), join(stage, folder, entry), {
      recursive: true,
      filter: (path) => !/[\\/](node_modules|\.qmtl)$/.test(path),
    });
  }
  for (const [place, source] of Object.entries(brought))
    cpSync(join(root, source), join(stage, folder, place));
  cpSync(join(root, "LICENSE"), join(stage, folder, "LICENSE"));
}

/** The manifest as published: entries name what was built, no tools, exact versions of the siblings. */
function writeManifest(workspace: Workspace): void {
  const { folder, unpublished = [], bringsNode = false } = workspace;
  const manifest = readManifest(join(root, folder));
  delete manifest.private;
  delete manifest.devDependencies;
  delete manifest.scripts;
  // In the repository the pinned Node runs everything; elsewhere a package runs on the system's, unless it brings one.
  manifest.engines ??= { node: ">=22.18" };
  if (manifest.exports !== undefined) {
    const published = Object.entries(manifest.exports).filter(
      ([name]) => !unpublished.includes(name),
    );
    manifest.exports = Object.fromEntries(
      published.map(([name, source]) => [name, builtExport(folder, name, source)]),
    );
  }
  const needed = Object.entries(manifest.dependencies ?? {});
  manifest.dependencies = Object.fromEntries(
    needed.map(([name, range]) => [name, versions.get(name) ?? range]).sort(),
  );
  checkImports(folder, manifest);
  if (bringsNode) {
    const pinned = Object.entries(rootManifest.optionalDependencies ?? {});
    manifest.optionalDependencies = {
      ...manifest.optionalDependencies,
      ...Object.fromEntries(pinned.filter(([name]) => name.startsWith("node-"))),
    };
  }
  manifest.files = readdirSync(join(stage, folder)).sort();
  write(join(stage, folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** Checks that the manifest names every imported package: in the repository the root's packages would hide a gap. */
function checkImports(folder: string, manifest: Manifest): void {
  const dist = join(stage, folder, "dist");
  const known = new Set([manifest.name, ...Object.keys(manifest.dependencies ?? {})]);
  for (const file of globSync("**/*.js", { cwd: dist })) {
    const { importedFiles } = ts.preProcessFile(readFileSync(join(dist, file), "utf8"), true, true);
    for (const { fileName } of importedFiles) {
      if (/^(\.|node:)/.test(fileName)) continue;
      const name = fileName.split("/", fileName.startsWith("@") ? 2 : 1).join("/");
      if (!known.has(name))
        throw new Error(`${folder}/dist/${file} imports ${name}, no dependency`);
    }
  }
}

/**
 * What an entry of `exports` becomes: types and JavaScript in place of its source.
 *
 * @throws when one of them was not built: found here, not by a user.
 */
function builtExport(
  folder: string,
  name: string,
  source: string | Record<string, string>,
): Record<string, string> {
  if (typeof source !== "string" || !/^\.\/src\/.*\.ts$/.test(source))
    throw new Error(`${folder}: exports ${name} is not a source file of its own`);
  const built = source.replace("./src/", "./dist/");
  const conditions = {
    types: built.replace(/\.ts$/, ".d.ts"),
    default: built.replace(/\.ts$/, ".js"),
  };
  for (const target of Object.values(conditions)) {
    if (options["js-only"] && target.endsWith(".d.ts")) continue;
    const found = target.includes("*")
      ? globSync(target.replace("*", "**/*"), { cwd: join(stage, folder) }).length > 0
      : existsSync(join(stage, folder, target));
    if (!found) throw new Error(`${folder}: exports ${name} names ${target}, which was not built`);
  }
  return conditions;
}

function packAll(): void {
  const folders = workspaces.map(({ folder }) => join(stage, folder));
  const run = spawnSync(
    "npm",
    ["pack", "--json", "--ignore-scripts", "--pack-destination", out, ...folders],
    { encoding: "utf8", maxBuffer: 1 << 28, shell: process.platform === "win32", cwd: out },
  );
  if (run.status !== 0) throw new Error(`npm pack failed: ${run.stderr}`);
  const packed: { name: string; filename: string; files: { path: string }[] }[] = Object.values(
    JSON.parse(run.stdout),
  );
  for (const { folder } of workspaces) {
    const { name } = readManifest(join(stage, folder));
    const tarball = packed.find((each) => each.name === name);
    if (tarball === undefined) throw new Error(`npm pack made no tarball of ${name}`);
    const inside = new Set(tarball.files.map(({ path }) => path));
    // npm leaves some names out whatever `files` says, `.gitignore` for one.
    const lost = readdirSync(join(stage, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(join(stage, folder), join(entry.parentPath, entry.name)))
      .filter((path) => !inside.has(path.replaceAll("\\", "/")));
    if (lost.length > 0) throw new Error(`npm does not pack ${folder}: ${lost.join(", ")}`);
    console.log(`${tarball.filename}  ${inside.size} files`);
  }
}
