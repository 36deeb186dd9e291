import { existsSync, readdirSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { join } from "node:path";
import { layers } from "./layers.ts";
import type { ProjectCheck } from "./project-check.ts";
import { isRecord, type Project, providedLayers } from "./read-project.ts";

const again = "`qmtl project init` into another folder shows how it should look";

/** Are the files of a project there? */
export function checkStructure({ folder }: Project): ProjectCheck[] {
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
  return isWhole ? [{ check: "structure", status: "ok", message: "all files are there" }] : found;
}

/** Is the SDK named and installed? */
export function checkPackages({ folder, manifest }: Project): ProjectCheck[] {
  const check = "packages";
  if (manifest === undefined) {
    const fix = "mend its JSON";
    return [{ check, status: "error", message: "package.json cannot be read", fix }];
  }
  const found: ProjectCheck[] = [];
  if (manifest.type !== "module")
    found.push({
      check,
      status: "error",
      message: 'package.json does not say "type": "module"',
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
      message: "package.json does not name @qmtl/sdk",
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

/** Do the layers there have what they require? */
export function checkLayers(project: Project): ProjectCheck[] {
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
        message: `layers/${entry.name} is no layer QMTL knows`,
        fix: "`qmtl project list-layers` names them",
      });
  const names = [...project.layers].join(", ") || "none";
  return found.length === 0 ? [{ check, status: "ok", message: names }] : found;
}

/** True when code of the folder can import the SDK. */
export function isInstalled(folder: string): boolean {
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
