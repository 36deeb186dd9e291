import { findLayer, findLayerTemplate, type LayerName, withRequired } from "./layers.ts";
import { placeFiles } from "./place-files.ts";
import { planLayer } from "./plan-project.ts";
import { ProjectError } from "./project-error.ts";
import { providedLayers, readProject } from "./read-project.ts";

export interface AddLayerOptions {
  /** Folder of the project. */
  readonly path: string;
  readonly layer: string;
  /** @default the layer's first */
  readonly template?: string;
  readonly signal?: AbortSignal;
  /** Called before each change to the disk. @default nothing */
  readonly onStep?: () => void;
}

/** What was added. */
export interface AddedLayers {
  /** The layers it required, then the layer itself. */
  readonly layers: readonly LayerName[];
  /** Paths within the project. */
  readonly files: readonly string[];
  /** How to use each layer, in order. `strategy.ts` and `qmtl.yml` are left to their author. */
  readonly wiring: readonly string[];
}

/**
 * Adds a layer and those it requires. Touches no file that is there; on any conflict it adds nothing.
 *
 * @throws {ProjectError} `LAYER_UNKNOWN`, `TEMPLATE_UNKNOWN`, `TEMPLATE_NOT_BUILT`, `NOT_A_PROJECT`, `LAYER_PRESENT`,
 * `PATH_TAKEN`, `INTERRUPTED`
 */
export async function addLayer(options: AddLayerOptions): Promise<AddedLayers> {
  const layer = findLayer(options.layer);
  findLayerTemplate(layer, options.template);
  const project = readProject(options.path);
  const provided = providedLayers(project);
  if (provided.has(layer.name)) {
    const why = project.layers.has(layer.name)
      ? "exists already"
      : "comes with the data layer of this project";
    throw new ProjectError("LAYER_PRESENT", `layer ${layer.name} ${why}`);
  }
  const added = withRequired([layer.name], provided);
  const files = added.flatMap((each) =>
    planLayer(each, each.name === layer.name ? options.template : undefined),
  );
  await placeFiles({
    target: project.folder,
    files,
    existing: "refuse",
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
  });
  return {
    layers: added.map((each) => each.name),
    files: files.map((file) => file.path),
    wiring: added.map((each) => each.wiring),
  };
}
