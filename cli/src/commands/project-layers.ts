import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { addLayer } from "../project/add-layer.ts";
import { withInterrupt } from "../project/with-interrupt.ts";

interface AddLayerCommandOptions extends GlobalOptions {
  path: string;
  template?: string;
}

/** `qmtl project add-layer LAYER`. */
export function addLayerCommands(project: Command): void {
  project
    .command("add-layer <layer>")
    .description("add a layer and those it requires; files that are there are left alone")
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
