import { loadConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";
import { accountHeldRefusal } from "../account-held.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson, printNote } from "../print.ts";
import { untilEnded } from "../until-ended.ts";
import { endingAtOnce, untilStopped } from "../until-stopped.ts";

/** Printed once at start: nothing else warns that any user of the machine may halt and trade. */
const OPEN_NOTE =
  "no keys are configured: whoever can log in on this machine may call the platform as owner; other machines cannot reach it. `qmtl config explain security.keys` says how to change that";

/** `qmtl up`: the whole platform in this process, with its data in a folder. */
export function addUpCommand(program: Command): void {
  program
    .command("up")
    .description("start the whole platform here: one process, no server to install")
    .option("--standby", "wait while another gateway holds the accounts (storage.kind: postgres)")
    .addHelpText(
      "after",
      "\nExample:\n  qmtl up --config qmtl.yml\n\nStops on Ctrl-C or SIGTERM, within 20 s, and with 1 if something did not stop or a halt was lost; during start-up this ends it at once, with 130. Data stays in storage.data_dir: safe against kill -9, not against power loss. Exits with 3 when its own database is lost (a crash, out of memory): start it again, it has everything that was stored.",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { standby?: boolean }>();
      const config = loadConfig(options.config === undefined ? {} : { path: options.config });
      const platform = await endingAtOnce(async () => {
        // Loaded here, so that no other command pays for it.
        const { startPlatform } = await import("@qmtl/embedded");
        return startPlatform(config, {
          standby: options.standby === true,
          onWaiting: ({ message }) => {
            if (options.json) printJson({ event: "standby", message });
            else console.log(`standby: ${message}; takes over when its lease ends, Ctrl-C stops`);
          },
        }).catch((failure: unknown) => {
          throw accountHeldRefusal(failure);
        });
      });
      const stopped = untilStopped();
      if (Object.keys(config.security.keys).length === 0)
        printNote(OPEN_NOTE, options.json === true);
      if (options.json) printJson({ event: "ready", ...platform.addresses });
      else {
        console.log(
          `gateway        ${platform.addresses.gateway}   (web ${platform.addresses.web})`,
        );
        console.log(`dag-manager    ${platform.addresses.dagManager}`);
        console.log(`world-service  ${platform.addresses.worldService}`);
        const { metrics } = platform.addresses;
        if (metrics !== undefined) console.log(`metrics        ${metrics}`);
        console.log("ready; Ctrl-C stops");
      }
      await untilEnded(platform, stopped, options.json === true);
    });
}
