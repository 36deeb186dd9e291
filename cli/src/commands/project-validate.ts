import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";
import { printJson, printTable } from "../print.ts";

interface ValidateOptions extends GlobalOptions {
  path: string;
}

/** `qmtl project validate`: exits 1 when something is broken. */
export function addProjectValidateCommand(project: Command): void {
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
