import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";
import { printJson, printTable } from "../print.ts";
import { addLayer } from "../project/add-layer.ts";
import { initProject } from "../project/init-project.ts";
import { layers } from "../project/layers.ts";
import { installedPackages, repositoryPackages } from "../project/platform-packages.ts";
import { presets } from "../project/presets.ts";
import { strategyTemplates } from "../project/strategy-templates.ts";
import { withInterrupt } from "../project/with-interrupt.ts";

interface InitOptions extends GlobalOptions {
  path: string;
  strategy?: string;
  preset?: string;
  layers?: string[];
  withSampleData?: boolean;
  force?: boolean;
  packages?: string;
}

/** `qmtl project …`: make a project, add to it, check it. */
export function addProjectCommands(program: Command): void {
  const project = program.command("project").description("projects: make one, add to it, check it");

  project
    .command("init")
    .description("create a project that runs offline at once")
    .requiredOption("--path <folder>", "folder to make; its name is the project's")
    .option("--strategy <template>", "start from a strategy template (default: general)")
    .option("--preset <preset>", "start from a set of layers")
    .option("--layers <a,b>", "start from these layers and what they require", names)
    .option("--with-sample-data", "make the bars now, not at the first start")
    .option("--force", "write into an existing folder; replaces files of the same name")
    .option(
      "--packages <folder>",
      "depend on the tarballs in this folder (default: dist/packages in the repository, the tarballs qmtl was installed from, or else published packages)",
    )
    .addHelpText(
      "after",
      "\nExample:\n  qmtl project init --path my-project --strategy branching --with-sample-data\n\nEither every file is written or none, also on Ctrl-C. `qmtl project list-presets --show-legacy-templates` lists what there is.",
    )
    .action(async (_options: unknown, command: Command) => {
      const { json, ...options } = command.optsWithGlobals<InitOptions>();
      const packages = options.packages ?? repositoryPackages() ?? installedPackages();
      const packed = packages === undefined ? {} : { packages };
      const made = await withInterrupt((signal) => initProject({ ...options, ...packed, signal }));
      if (json)
        return printJson({
          project: made.name,
          folder: made.folder,
          files: made.files,
          from_registry: made.fromRegistry,
        });
      console.log(`project ${made.name} made in ${made.folder}: ${made.files} files`);
      console.log(
        `packages: ${packages === undefined ? "published ones" : `packed in ${packages}`}`,
      );
      console.log(`next: cd ${shellWord(options.path)} && npm install && npm start`);
    });

  addLayerCommands(project);
  addProjectListCommands(project);
  addProjectValidateCommand(project);
}

/** A path as a word of a shell, quoted where needed. */
function shellWord(path: string): string {
  return /^[\p{L}\p{N}_./~@+-]+$/u.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Names separated by commas, without blanks and empty ones. */
function names(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

interface AddLayerCommandOptions extends GlobalOptions {
  path: string;
  template?: string;
}

/** `qmtl project add-layer LAYER`. */
function addLayerCommands(project: Command): void {
  project
    .command("add-layer <layer>")
    .description("add a layer and those it requires; existing files are left alone")
    .option("--path <folder>", "folder of the project", ".")
    .option("--template <template>", "template of the layer (default: its first)")
    .addHelpText("after", "\nExample:\n  qmtl project add-layer execution --path my-project")
    .action(async (layer: string, _options: unknown, command: Command) => {
      const { path, template, json } = command.optsWithGlobals<AddLayerCommandOptions>();
      const added = await withInterrupt((signal) =>
        addLayer({ path, layer, signal, ...(template === undefined ? {} : { template }) }),
      );
      if (json) return printJson(added);
      console.log(`added ${added.layers.join(", ")}:`);
      for (const file of added.files) console.log(`  ${file}`);
      console.log("to put them to use:");
      for (const line of added.wiring) console.log(`  ${line}`);
    });
}

interface ListPresetsOptions extends GlobalOptions {
  showLegacyTemplates?: boolean;
}

interface ListLayersOptions extends GlobalOptions {
  showTemplates?: boolean;
  showRequires?: boolean;
}

/** `qmtl project list-presets` and `list-layers`. */
function addProjectListCommands(project: Command): void {
  project
    .command("list-presets")
    .description("presets, sets of layers with a name")
    .option("--show-legacy-templates", "strategy templates, too")
    .addHelpText("after", "\nExample:\n  qmtl project list-presets --show-legacy-templates")
    .action((_options: unknown, command: Command) => {
      const { json, showLegacyTemplates } = command.optsWithGlobals<ListPresetsOptions>();
      const templates = strategyTemplates.map(({ name, summary }) => ({ name, summary }));
      if (json)
        return printJson({
          presets: presets.map(({ name, summary, layers: parts }) => ({
            name,
            summary,
            layers: parts,
          })),
          ...(showLegacyTemplates ? { templates } : {}),
        });
      printTable(
        ["preset", "layers", "what"],
        presets.map((preset) => [preset.name, preset.layers.join(", "), preset.summary]),
      );
      if (!showLegacyTemplates) return;
      console.log("");
      printTable(
        ["template", "what"],
        templates.map(({ name, summary }) => [name, summary]),
      );
    });

  project
    .command("list-layers")
    .description("layers a project can be made of, in order")
    .option("--show-templates", "templates of each layer; the first is the default")
    .option("--show-requires", "layers each layer requires")
    .addHelpText("after", "\nExample:\n  qmtl project list-layers --show-templates --show-requires")
    .action((_options: unknown, command: Command) => {
      const { json, showTemplates, showRequires } = command.optsWithGlobals<ListLayersOptions>();
      if (json)
        return printJson(
          layers.map(({ name, summary, requires, templates }) => ({
            name,
            summary,
            requires,
            templates: templates.map((each) => ({
              name: each.name,
              summary: each.summary,
              not_built: each.notBuilt ?? null,
            })),
          })),
        );
      const columns: [string, (layer: (typeof layers)[number]) => string][] = [
        ["layer", (layer) => layer.name],
        ["what", (layer) => layer.summary],
      ];
      if (showRequires) columns.push(["requires", (layer) => layer.requires.join(", ") || "-"]);
      if (showTemplates)
        columns.push([
          "templates",
          ({ templates }) =>
            templates
              .map(({ name, notBuilt }) => (notBuilt ? `${name} (not built yet)` : name))
              .join(", "),
        ]);
      printTable(
        columns.map(([title]) => title),
        layers.map((layer) => columns.map(([, cell]) => cell(layer))),
      );
    });
}

interface ValidateOptions extends GlobalOptions {
  path: string;
}

/** `qmtl project validate`: exits 1 when something is broken. */
function addProjectValidateCommand(project: Command): void {
  project
    .command("validate")
    .description("check files, packages, configuration, data, layers and strategy of a project")
    .option("--path <folder>", "folder of the project", ".")
    .addHelpText("after", "\nExample:\n  qmtl project validate --path my-project")
    .action(async (_options: unknown, command: Command) => {
      const { path, json } = command.optsWithGlobals<ValidateOptions>();
      // The engine is loaded here, so that no other command pays for it.
      const { validateProject } = await import("../project/validate-project.ts");
      const checks = await validateProject(path);
      if (checks.some((check) => check.status === "error")) process.exitCode = ExitCode.refused;
      if (json) return printJson({ checks });
      printTable(
        ["check", "status", "finding"],
        checks.map(({ check, status, message }) => [check, status, message]),
      );
      for (const { check, fix } of checks) if (fix !== undefined) console.log(`${check}: ${fix}`);
    });
}
