import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson, printTable } from "../print.ts";
import { layers } from "../project/layers.ts";
import { presets } from "../project/presets.ts";
import { strategyTemplates } from "../project/strategy-templates.ts";

interface ListPresetsOptions extends GlobalOptions {
  showLegacyTemplates?: boolean;
}

interface ListLayersOptions extends GlobalOptions {
  showTemplates?: boolean;
  showRequires?: boolean;
}

/** `qmtl project list-presets` and `list-layers`. */
export function addProjectListCommands(project: Command): void {
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
