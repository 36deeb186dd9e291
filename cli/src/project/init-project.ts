import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { findLayer, type LayerName, withRequired } from "./layers.ts";
import { placeFiles } from "./place-files.ts";
import { type ProjectKind, planProject } from "./plan-project.ts";
import { type PlatformPackages, packedPackages, publishedPackages } from "./platform-packages.ts";
import { findPreset } from "./presets.ts";
import { ProjectError } from "./project-error.ts";
import { findStrategyTemplate, strategyTemplates } from "./strategy-templates.ts";

/** Longest run of the project's generator, milliseconds. */
const sampleDataMsMax = 60_000;

/** What kind of project is asked for; at most one of the three. */
export interface ProjectChoice {
  readonly strategy?: string;
  readonly preset?: string;
  readonly layers?: readonly string[];
}

export interface InitProjectOptions extends ProjectChoice {
  /** Folder of the project; its last part is the project's name. */
  readonly path: string;
  /** Makes the bars now, not at the first start. @default false */
  readonly withSampleData?: boolean;
  /** Writes into a folder that exists: files of the scaffold are replaced, others are left. @default false */
  readonly force?: boolean;
  /** Folder of packed packages. @default the published ones are named */
  readonly packages?: string;
  readonly signal?: AbortSignal;
  /** Called before each change to the disk. @default nothing */
  readonly onStep?: () => void;
}

/** A project that was made. */
export interface MadeProject {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  readonly files: number;
  /** True when `package.json` names published packages, not packed ones. */
  readonly fromRegistry: boolean;
}

/**
 * Makes a project: all of it, or nothing.
 *
 * @throws {ProjectError} see `ProjectErrorReason`.
 */
export async function initProject(options: InitProjectOptions): Promise<MadeProject> {
  const kind = projectKind(options);
  if (options.path.trim() === "")
    throw new ProjectError("NAME_INVALID", "--path is empty", "name the folder to create");
  const folder = resolve(options.path);
  const name = projectNameOf(folder);
  if (existsSync(folder) && options.force !== true) {
    const hint = "choose another --path, or write into it with --force";
    throw new ProjectError("PATH_TAKEN", `${folder} exists already; nothing was touched`, hint);
  }
  const { packages: packed } = options;
  const packages = packed === undefined ? publishedPackages() : packedPackages(packed, folder);
  const plan = planProject(name, kind);
  const externalSignal = kind.kind === "layers" && kind.externalSignal;
  const manifest = packageManifest(plan.get("package.json")!.text, packages, { externalSignal });
  const files = [...plan.values()].map((file) =>
    file.path === "package.json" ? { ...file, text: manifest } : file,
  );
  const { withSampleData = false, signal, onStep } = options;
  await placeFiles({
    target: folder,
    files,
    existing: "replace",
    ...(withSampleData ? { prepare: (at: string) => makeSampleData(at, externalSignal) } : {}),
    ...(signal === undefined ? {} : { signal }),
    ...(onStep === undefined ? {} : { onStep }),
  }).catch((failure: unknown) => {
    throw unusable(folder, failure);
  });
  return { name, folder, files: files.length, fromRegistry: packed === undefined };
}

/** @throws {ProjectError} for unknown names, and for more than one of the three. */
function projectKind({ strategy, preset, layers }: ProjectChoice): ProjectKind {
  if ([strategy, preset, layers].filter((each) => each !== undefined).length > 1)
    throw new ProjectError(
      "TEMPLATE_UNKNOWN",
      "give one of --strategy, --preset and --layers",
      "a preset is a set of layers with a name; a strategy template has none",
    );
  if (preset !== undefined) {
    const found = findPreset(preset);
    const chosen = found.layers.map(findLayer);
    const { templates, externalSignal } = found;
    return { kind: "layers", layers: chosen, templates, externalSignal };
  }
  if (layers !== undefined) {
    const names: LayerName[] = layers.map((name) => findLayer(name).name);
    if (names.length === 0) {
      const hint = "`qmtl project list-layers` shows them";
      throw new ProjectError("LAYER_UNKNOWN", "--layers names no layer", hint);
    }
    // Without data there is nothing to run.
    const chosen = withRequired([...names, "data"]);
    return { kind: "layers", layers: chosen, templates: {}, externalSignal: false };
  }
  return {
    kind: "strategy",
    template: findStrategyTemplate(strategy ?? strategyTemplates[0]!.name),
  };
}

/**
 * The folder's name in a form that a package and `project.name` may have: lower case, without accents, `-` for any
 * other characters.
 */
function projectNameOf(folder: string): string {
  const name = basename(folder)
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9_.]+/g, "-")
    .replace(/^[^a-z0-9]+|-+$/g, "");
  if (/^[a-z0-9][a-z0-9_.-]{0,99}$/.test(name) && name !== "node_modules") return name;
  const message = `"${basename(folder)}" gives no name for a project: it needs a Latin letter or digit, and at most 100 characters`;
  throw new ProjectError("NAME_INVALID", message, "the last part of --path is the name");
}

/** An error of the file system as a refusal of the path; other failures as they are. */
function unusable(folder: string, failure: unknown): unknown {
  if (!(failure instanceof Error) || !("syscall" in failure)) return failure;
  const why = failure.message.replace(/^[A-Z0-9]+: |, .*$/g, "");
  const message = `${folder} cannot be created: ${why}; nothing was written`;
  return new ProjectError("PATH_TAKEN", message, "choose another --path");
}

/** Runs the project's own generator, which needs no package. */
function makeSampleData(folder: string, externalSignal: boolean): void {
  const args = ["generators/write-bars.ts", ...(externalSignal ? ["--with-signal"] : [])];
  const run = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: "utf8",
    timeout: sampleDataMsMax,
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  if (run.status === 0) return;
  if (run.signal === "SIGINT" || run.signal === "SIGTERM")
    throw new ProjectError("INTERRUPTED", "stopped; nothing was written");
  throw new ProjectError("SAMPLE_DATA_FAILED", `making sample data failed: ${run.stderr}`);
}

/** What `package.json` records about a project besides its packages. */
interface ManifestNotes {
  /** The signal comes with the data: bars are made with one, and layer `signal` is not asked for. */
  readonly externalSignal: boolean;
}

/** The text of `package.json`: the template's, with the packages of the platform. */
function packageManifest(
  template: string,
  packages: PlatformPackages,
  notes: ManifestNotes,
): string {
  const { scripts, devDependencies, optionalDependencies, ...rest } = JSON.parse(template) as {
    scripts: Record<string, string>;
    devDependencies: Record<string, string>;
    optionalDependencies: Record<string, string>;
  };
  const data = `${scripts.data}${notes.externalSignal ? " --with-signal" : ""}`;
  const manifest = {
    ...rest,
    ...(notes.externalSignal ? { qmtl: { signal_source: "external" } } : {}),
    scripts: { ...scripts, data },
    dependencies: packages,
    devDependencies,
    optionalDependencies,
  };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}
