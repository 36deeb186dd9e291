import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type LayerName, layers } from "./layers.ts";
import { ProjectError } from "./project-error.ts";

/** A project as it is on disk. */
export interface Project {
  /** Absolute. */
  readonly folder: string;
  /** `package.json` as it is read; undefined when it is missing or no JSON object. */
  readonly manifest: Readonly<Record<string, unknown>> | undefined;
  /** Layers with a folder under `layers/`, in order. */
  readonly layers: ReadonlySet<LayerName>;
  /** The signal comes with the data: layers `data` and `signal` are provided from outside. */
  readonly externalSignal: boolean;
}

/**
 * Reads what a project is made of. A missing or broken `package.json` is no error here.
 *
 * @throws {ProjectError} `NOT_A_PROJECT` for a folder that has neither `strategy.ts`, `qmtl.yml` nor `package.json`.
 */
export function readProject(path: string): Project {
  const folder = resolve(path);
  const marks = ["strategy.ts", "qmtl.yml", "qmtl.yaml", "package.json"];
  if (!marks.some((name) => existsSync(join(folder, name)))) {
    const hint = "`qmtl project init --path DIR` makes a project; --path names one";
    throw new ProjectError("NOT_A_PROJECT", `${folder} is not a QMTL project`, hint);
  }
  const manifest = readManifest(join(folder, "package.json"));
  const present = layers.filter((layer) => existsSync(join(folder, "layers", layer.name)));
  const own = manifest?.qmtl;
  const externalSignal =
    isRecord(own) && "signal_source" in own && own.signal_source === "external";
  return { folder, manifest, layers: new Set(present.map((layer) => layer.name)), externalSignal };
}

/** Layers that need not be added: those that are there, and those that an external signal replaces. */
export function providedLayers(project: Project): ReadonlySet<LayerName> {
  const external: LayerName[] = project.externalSignal ? ["data", "signal"] : [];
  return new Set([...project.layers, ...external]);
}

function readManifest(file: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const manifest: unknown = JSON.parse(readFileSync(file, "utf8"));
    return isRecord(manifest) ? manifest : undefined;
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
