import { existsSync, readFileSync } from "node:fs";
import { loadConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";
import { archiveJson, archiveWords } from "../backup/archive-summary.ts";
import { withBackupRun } from "../backup/backup-run.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { CommandError } from "../exit-codes.ts";
import { printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";

interface BackupCommandOptions extends GlobalOptions {
  readonly out?: string;
  readonly verify?: string;
  readonly force?: boolean;
}

const more = `
Examples:
  qmtl backup --out qmtl-backup.tgz
  qmtl backup --verify qmtl-backup.tgz

The file is a gzipped tar, readable only by its owner: the rows of every table as of one moment, the configuration
file, and a manifest with counts and hashes. API keys and other secrets are not in it: back up what qmtl.yml refers to.
Embedded storage: stop \`qmtl up\` first. PostgreSQL: services keep running.`;

/** `qmtl backup`: all data of the platform in one file, or a check that such a file is complete. */
export function addBackupCommand(program: Command): void {
  program
    .command("backup")
    .description("write all data of the platform into one file, or verify such a file")
    .option("--out <file>", "write a backup into this file")
    .option("--verify <file>", "check this backup: every entry, count and hash, and its versions")
    .option("--force", "replace the file if it exists")
    .addHelpText("after", more)
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<BackupCommandOptions>();
      const { out, verify } = options;
      if (out !== undefined && verify === undefined) return backUp(out, options, command);
      if (verify !== undefined && out === undefined) {
        refuseIdle({ "--force": options.force }, "with --verify");
        return check(verify, options);
      }
      throw new CommandError("give either --out FILE or --verify FILE");
    });
}

async function backUp(
  path: string,
  options: BackupCommandOptions,
  command: Command,
): Promise<void> {
  const { config: file, force: replace = false, json } = options;
  const config = loadConfig(file === undefined ? {} : { path: file });
  const manifest = await withBackupRun(async (run) => {
    const { writeBackup } = await import("@qmtl/embedded");
    const productVersion = command.parent?.version() ?? "";
    const configText = configTextOf(file);
    const { systemClock: clock } = await import("@qmtl/service-kit");
    return writeBackup({ config, configText, path, replace, productVersion, clock, ...run });
  });
  if (json) return printJson(archiveJson(path, manifest));
  console.log(`${path}: ${archiveWords(manifest)}`);
  console.log(`verify it from time to time: qmtl restore ${path} --verify`);
}

async function check(path: string, { json }: BackupCommandOptions): Promise<void> {
  const manifest = await withBackupRun(async (run) => {
    const { verifyBackup } = await import("@qmtl/embedded");
    return verifyBackup({ path, ...run });
  });
  if (json) return printJson({ ...archiveJson(path, manifest), verified: true });
  console.log(`${path} is complete and undamaged: ${archiveWords(manifest)}`);
}

/** The file the configuration was loaded from, where there is one. */
function configTextOf(path: string | undefined): string | undefined {
  const file = path ?? ["qmtl.yml", "qmtl.yaml"].find((name) => existsSync(name));
  return file === undefined ? undefined : readFileSync(file, "utf8");
}
