import { userInfo } from "node:os";
import type { Restored } from "@qmtl/embedded";
import { loadConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";
import { archiveJson, archiveWords } from "../backup/archive-summary.ts";
import { withBackupRun } from "../backup/backup-run.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";

interface RestoreCommandOptions extends GlobalOptions {
  readonly verify?: boolean;
  readonly force?: boolean;
  readonly reason?: string;
}

const more = `
Examples:
  qmtl restore qmtl-backup.tgz --verify
  qmtl restore qmtl-backup.tgz --reason 'disk lost'

Stop every service and every runner first. The store of the configuration must be empty. Afterwards every world is held
\`manual\`, and epochs, fences and revisions are above all that were ever handed out, so nothing issued after the backup
is accepted. What happened after the backup is gone from the store; the broker still knows its part of it.`;

/** `qmtl restore`: fills an empty store with a backup, or verifies that it could. */
export function addRestoreCommand(program: Command): void {
  program
    .command("restore")
    .argument("<file>", "the backup")
    .description("fill an empty store with a backup; every world is held afterwards")
    .option("--verify", "only try it, in a temporary database that is removed afterwards")
    .option("--force", "embedded storage: move the existing folder aside (it is kept)")
    .option("--reason <why>", "reason; kept in the audit of every world, and shown with its hold")
    .addHelpText("after", more)
    .action(async (file: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<RestoreCommandOptions>();
      if (options.verify !== true) return restore(file, options);
      const { force, reason } = options;
      refuseIdle({ "--force": force, "--reason": reason }, "with --verify");
      return tryRestore(file, options);
    });
}

async function tryRestore(path: string, { json }: RestoreCommandOptions): Promise<void> {
  const { manifest, laws } = await withBackupRun(async (run) => {
    const { verifyRestore } = await import("@qmtl/embedded");
    return verifyRestore({ path, ...run });
  });
  if (json) return printJson({ ...archiveJson(path, manifest), verified: true, laws });
  console.log(`${path} can be restored: ${archiveWords(manifest)}`);
  console.log(`every row was read back as it was written; ${laws} consistency checks passed`);
}

async function restore(path: string, options: RestoreCommandOptions): Promise<void> {
  const config = loadConfig(options.config === undefined ? {} : { path: options.config });
  const { force = false, reason = `restored from ${path}` } = options;
  if (config.storage.kind === "postgres")
    refuseIdle({ "--force": force }, "with storage.kind: postgres, whose database must be empty");
  const restored = await withBackupRun(async (run) => {
    const { restoreBackup } = await import("@qmtl/embedded");
    const principal = userInfo().username;
    const { systemClock: clock } = await import("@qmtl/service-kit");
    return restoreBackup({ config, path, force, principal, reason, clock, ...run });
  });
  if (options.json) return printJson(jsonOf(path, restored));
  printRestored(restored, config.storage.kind === "embedded");
}

function jsonOf(path: string, restored: Restored) {
  return {
    ...archiveJson(path, restored.manifest),
    into: restored.into,
    moved_to: restored.movedTo,
    floor: restored.floor,
    worlds: restored.worlds.map(({ worldId, storeEpoch, fence, revision }) => ({
      world_id: worldId,
      store_epoch: storeEpoch,
      fence,
      revision,
    })),
    event_history_dropped: restored.isEventHistoryDropped,
  };
}

function printRestored(restored: Restored, isEmbedded: boolean): void {
  const { manifest, into, movedTo, floor, worlds, isEventHistoryDropped } = restored;
  console.log(`restored into ${into}: ${archiveWords(manifest)}`);
  if (movedTo !== undefined) console.log(`what was there is kept in ${movedTo}`);
  console.log(`epochs, fences and revisions continue above ${floor}; nobody holds a lease`);
  if (isEventHistoryDropped) console.log("the history of events starts over, from the bus");
  for (const { worldId } of worlds) console.log(`world ${worldId} is held: manual`);
  console.log("\nnext:");
  console.log(`  1. start the platform: ${isEmbedded ? "qmtl up" : "qmtl service …"}`);
  console.log("  2. compare each account with its broker: qmtl account reconcile ACCOUNT");
  console.log("  3. start the runners again: what they had read after the backup is gone");
  for (const { worldId } of worlds) {
    console.log(`  4. qmtl world resume ${worldId} --hold manual --reason WHY`);
  }
}
