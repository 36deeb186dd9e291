import { existsSync, readdirSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { join } from "node:path";
import { ConfigError, loadConfig, loadStrategy, type QmtlConfig, StreamInput } from "@qmtl/sdk";
import { identifyStrategy } from "@qmtl/sdk/platform";
import { layers } from "./layers.ts";
import type { ProjectCheck } from "./project-check.ts";
import { isRecord, type Project, providedLayers, readProject } from "./read-project.ts";

/**
 * Checks a project: its files, packages, configuration, data, layers and strategy. Changes nothing; the strategy's file
 * is imported and declares its nodes.
 *
 * @throws {ProjectError} `NOT_A_PROJECT`
 */
export async function validateProject(path: string): Promise<ProjectCheck[]> {
  const project = readProject(path);
  const { config, checks } = checkConfig(project);
  return [
    ...checkStructure(project),
    ...checkPackages(project),
    ...checks,
    ...checkLayers(project),
    ...(await checkStrategy(project, config)),
  ];
}

/** Reads the configuration of a project and reports what is wrong with it, and whether its data files exist. */
function checkConfig({ folder }: Project): {
  readonly config: QmtlConfig | undefined;
  readonly checks: readonly ProjectCheck[];
} {
  const name = existsSync(join(folder, "qmtl.yml")) ? "qmtl.yml" : "qmtl.yaml";
  if (!existsSync(join(folder, name))) return { config: undefined, checks: [] };
  try {
    const config = loadConfig({ path: join(folder, name) });
    const message = `${name} is valid`;
    return { config, checks: [{ check: "config", status: "ok", message }, ...checkData(config)] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const checks = error.issues.map((issue): ProjectCheck => {
      const place = issue.line === undefined ? name : `${name}:${issue.line}:${issue.column}`;
      const { suggestion } = issue;
      const fix = suggestion === undefined ? "correct that line" : `did you mean ${suggestion}?`;
      const message = `${place}: ${issue.path === "" ? "" : `${issue.path}: `}${issue.message}`;
      return { check: "config", status: "error", message, fix };
    });
    return { config: undefined, checks };
  }
}

function checkData(config: QmtlConfig): ProjectCheck[] {
  const check = "data";
  const missing = Object.entries(config.sources).flatMap(([name, { file, history_file }]) =>
    [file, history_file]
      .filter((path) => path !== null && !existsSync(path))
      .map((path): ProjectCheck => {
        const message = `source ${name}: ${path} does not exist`;
        const fix = "`npm run data` makes data/bars.csv; or name your own file in qmtl.yml";
        return { check, status: "warning", message, fix };
      }),
  );
  return missing.length > 0
    ? missing
    : [{ check, status: "ok", message: "the files of all sources exist" }];
}

/** Loads the strategy, lists its nodes, and looks up in the configuration what they refer to. */
async function checkStrategy(
  { folder }: Project,
  config: QmtlConfig | undefined,
): Promise<ProjectCheck[]> {
  const check = "strategy";
  const file = join(folder, "strategy.ts");
  if (!existsSync(file)) return [];
  try {
    const strategy = await loadStrategy(file);
    const { graph, targets } = identifyStrategy(strategy, { worldId: "validate" });
    const found = config === undefined ? [] : [...unknownNames(graph.nodes, targets, config)];
    if (targets.length !== 1)
      found.push({
        check,
        status: "error",
        message: `it declares ${targets.length} target positions, but a run needs exactly one`,
        fix: "makeIntentFirstNodeset or PositionTargetNode declares one",
      });
    const message = `${strategy.name}: ${graph.nodes.length} nodes, all with ids`;
    return found.length > 0 ? found : [{ check, status: "ok", message }];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const fix = isInstalled(folder)
      ? "correct strategy.ts, or what the message names"
      : "npm install, then validate again";
    return [{ check, status: "error", message, fix }];
  }
}

type Identified = ReturnType<typeof identifyStrategy>;

function* unknownNames(
  nodes: Identified["graph"]["nodes"],
  targets: Identified["targets"],
  config: QmtlConfig,
): Generator<ProjectCheck> {
  const error = (message: string, fix: string): ProjectCheck => ({
    check: "strategy",
    status: "error",
    message,
    fix,
  });
  for (const { declared } of nodes) {
    const { node, name } = declared;
    if (node instanceof StreamInput && !Object.hasOwn(config.sources, node.source))
      yield error(`stream ${name} reads "${node.source}"`, "add it to sources: in qmtl.yml");
  }
  for (const { name, node } of targets) {
    const { instrument } = node;
    const accounts = Object.values(config.accounts);
    if (!Object.hasOwn(config.instruments, instrument))
      yield error(`${name} trades "${instrument}"`, "add it to instruments: in qmtl.yml");
    else if (!accounts.some((account) => account.instruments.includes(instrument)))
      yield error(`no account may trade "${instrument}"`, "add it to an account in qmtl.yml");
  }
}

const again = "`qmtl project init` into another folder shows what it should look like";

/** Checks that the files of a project exist. */
function checkStructure({ folder }: Project): ProjectCheck[] {
  const has = (path: string): boolean => existsSync(join(folder, path));
  const found: ProjectCheck[] = [];
  for (const path of ["strategy.ts", "package.json"])
    if (!has(path)) found.push(finding("error", `${path} is missing`, again));
  if (!has("qmtl.yml") && !has("qmtl.yaml"))
    found.push(
      finding(
        "error",
        "qmtl.yml is missing",
        "`qmtl config generate --output qmtl.yml` writes one",
      ),
    );
  for (const path of ["tsconfig.json", "generators", "indicators", "transforms"])
    if (!has(path)) found.push(finding("warning", `${path} is missing`, again));
  if (!hasTests(join(folder, "tests")))
    found.push(finding("warning", "tests/ holds no *.test.ts", "test what the strategy relies on"));
  const isWhole = found.length === 0;
  return isWhole ? [{ check: "structure", status: "ok", message: "no file is missing" }] : found;
}

/** Checks that the SDK is a dependency and installed. */
function checkPackages({ folder, manifest }: Project): ProjectCheck[] {
  const check = "packages";
  if (manifest === undefined) {
    const fix = "correct its JSON";
    return [{ check, status: "error", message: "package.json cannot be read", fix }];
  }
  const found: ProjectCheck[] = [];
  if (manifest.type !== "module")
    found.push({
      check,
      status: "error",
      message: 'package.json lacks "type": "module"',
      fix: 'add "type": "module"',
    });
  const { dependencies, devDependencies } = manifest;
  const named = [dependencies, devDependencies].some(
    (each) => isRecord(each) && "@qmtl/sdk" in each,
  );
  if (!named)
    found.push({
      check,
      status: "error",
      message: "package.json does not list @qmtl/sdk",
      fix: "npm install @qmtl/sdk",
    });
  if (!isInstalled(folder))
    found.push({
      check,
      status: "warning",
      message: "@qmtl/sdk is not installed",
      fix: "npm install",
    });
  const isGood = found.length === 0;
  return isGood ? [{ check, status: "ok", message: "named and installed" }] : found;
}

/** Checks that the project's layers have the layers they require. */
function checkLayers(project: Project): ProjectCheck[] {
  const check = "layers";
  if (!existsSync(join(project.folder, "layers"))) return [];
  const provided = providedLayers(project);
  const found = layers
    .filter((layer) => project.layers.has(layer.name))
    .flatMap((layer) => layer.requires.map((required) => ({ layer: layer.name, required })))
    .filter(({ required }) => !provided.has(required))
    .map(
      ({ layer, required }): ProjectCheck => ({
        check,
        status: "error",
        message: `layer ${layer} requires ${required}, which is missing`,
        fix: `qmtl project add-layer ${required}`,
      }),
    );
  const known = new Set<string>(layers.map((layer) => layer.name));
  for (const entry of readdirSync(join(project.folder, "layers"), { withFileTypes: true }))
    if (entry.isDirectory() && !known.has(entry.name))
      found.push({
        check,
        status: "warning",
        message: `layers/${entry.name} is not a layer QMTL knows`,
        fix: "`qmtl project list-layers` lists them",
      });
  const names = [...project.layers].join(", ") || "none";
  return found.length === 0 ? [{ check, status: "ok", message: names }] : found;
}

/** True when code in the folder can import the SDK. */
function isInstalled(folder: string): boolean {
  try {
    return findPackageJSON("@qmtl/sdk", join(folder, "strategy.ts")) !== undefined;
  } catch {
    return false;
  }
}

function finding(status: "warning" | "error", message: string, fix: string): ProjectCheck {
  return { check: "structure", status, message, fix };
}

function hasTests(folder: string): boolean {
  return (
    existsSync(folder) &&
    readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith(".test.ts"))
  );
}
