import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { initProject } from "../project/init-project.ts";
import { installedPackages, repositoryPackages } from "../project/platform-packages.ts";
import { withInterrupt } from "../project/with-interrupt.ts";
import { addLayerCommands } from "./project-layers.ts";
import { addProjectListCommands } from "./project-lists.ts";
import { addProjectValidateCommand } from "./project-validate.ts";

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
    .description("make a project that runs offline at once")
    .requiredOption("--path <folder>", "folder to make; its name is the project's")
    .option("--strategy <template>", "start from a strategy template (default: general)")
    .option("--preset <preset>", "start from a set of layers")
    .option("--layers <a,b>", "start from these layers and what they require", names)
    .option("--with-sample-data", "make the bars now, not at the first start")
    .option("--force", "write into a folder that is there; replaces files of the same name")
    .option(
      "--packages <folder>",
      "name the packages packed into this folder (default: dist/packages in the repository, the tarballs qmtl was installed from, else published ones)",
    )
    .addHelpText(
      "after",
      "\nExample:\n  qmtl project init --path my-project --strategy branching --with-sample-data\n\nEverything or nothing is written, also on Ctrl-C. `qmtl project list-presets --show-legacy-templates` names what there is.",
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

/** A path as a shell takes it. */
function shellWord(path: string): string {
  return /^[\p{L}\p{N}_./~@+-]+$/u.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Names divided by commas, without blanks and empty ones. */
function names(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}
