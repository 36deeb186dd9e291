import { findLayerTemplate, type Layer, type LayerName } from "./layers.ts";
import { readTemplateFile, readTemplateFolder, type ScaffoldFile } from "./read-template.ts";
import type { StrategyTemplate } from "./strategy-templates.ts";

/** What a project starts from. */
export type ProjectKind =
  | { readonly kind: "strategy"; readonly template: StrategyTemplate }
  | {
      readonly kind: "layers";
      readonly layers: readonly Layer[];
      /** Template of each layer; a layer that is not listed has its default. */
      readonly templates: Readonly<Partial<Record<LayerName, string>>>;
      readonly externalSignal: boolean;
    };

/** Text in the template that is replaced by the name of the project. */
const placeholder = "qmtl-template";
const namedFiles = new Set(["package.json", "qmtl.yml", "README.md"]);

/**
 * Every file of a new project, by path; `package.json` without the packages of the platform.
 *
 * @throws {ProjectError} for a template that is unknown or not built.
 */
export function planProject(name: string, kind: ProjectKind): Map<string, ScaffoldFile> {
  const files = new Map(readTemplateFolder("base").map((file) => [file.path, file]));
  const put = (file: ScaffoldFile): unknown => files.set(file.path, file);
  if (kind.kind === "strategy") {
    const { folder } = kind.template;
    if (folder !== undefined) for (const file of readTemplateFolder(folder)) put(file);
  } else {
    put(layeredStrategy(kind.layers, kind.externalSignal));
    for (const layer of kind.layers)
      for (const file of planLayer(layer, kind.templates[layer.name])) put(file);
  }
  for (const path of namedFiles) {
    const file = files.get(path)!;
    put({ path, text: file.text.replaceAll(placeholder, name) });
  }
  return files;
}

/**
 * The files of one layer.
 *
 * @throws {ProjectError} `TEMPLATE_UNKNOWN`, `TEMPLATE_NOT_BUILT`
 */
export function planLayer(layer: Layer, templateName?: string): ScaffoldFile[] {
  const template = findLayerTemplate(layer, templateName);
  const inLayer = (file: ScaffoldFile): ScaffoldFile => ({
    ...file,
    path: `layers/${layer.name}/${file.path}`,
  });
  const files = new Map(
    readTemplateFolder(`layered/layers/${layer.name}`)
      .map(inLayer)
      .map((file) => [file.path, file]),
  );
  if (template.folder !== undefined)
    for (const file of readTemplateFolder(template.folder).map(inLayer)) files.set(file.path, file);
  const test = `tests/${layer.name}.test.ts`;
  const tests = readTemplateFolder("layered/tests").map((file) => `tests/${file.path}`);
  if (tests.includes(test)) files.set(test, readTemplateFile(`layered/${test}`, test));
  return [...files.values()];
}

/** The `strategy.ts` that puts the layers together. */
function layeredStrategy(chosen: readonly Layer[], externalSignal: boolean): ScaffoldFile {
  const has = (name: LayerName): boolean => chosen.some((layer) => layer.name === name);
  const of = externalSignal
    ? "external-signal"
    : has("execution")
      ? "execution"
      : has("signal")
        ? "signal"
        : "data";
  return readTemplateFile(`layered/strategy-of-${of}.ts`, "strategy.ts");
}
