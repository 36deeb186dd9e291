import type { ServiceName } from "@qmtl/embedded";
import { loadConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { endingAtOnce, untilStopped } from "../until-stopped.ts";

const descriptions: Record<ServiceName, string> = {
  gateway: "start a gateway in this process",
  "dag-manager": "start the DAG Manager in this process",
  "world-service": "start WorldService in this process",
};

async function runUntilStopped(name: ServiceName, command: Command): Promise<void> {
  const options = command.optsWithGlobals<GlobalOptions>();
  const config = loadConfig(options.config === undefined ? {} : { path: options.config });
  const service = await endingAtOnce(async () => {
    // Loaded here, so that no other command pays for it.
    const { startService } = await import("@qmtl/embedded");
    return startService(name, config);
  });
  const stopped = untilStopped();
  if (options.json) printJson({ event: "ready", service: name, address: service.address });
  else console.log(`${name} ready at ${service.address}; Ctrl-C stops`);
  await stopped;
  await service.stop();
}

/** `qmtl service …`: the distributed shape, one process a service, over PostgreSQL and Kafka. */
export function addServiceCommands(program: Command): void {
  const service = program
    .command("service")
    .description("start one service of the distributed shape: PostgreSQL, Kafka, a process each");
  for (const [name, description] of Object.entries(descriptions) as [ServiceName, string][]) {
    service
      .command(name)
      .description(description)
      .addHelpText(
        "after",
        `\nExample:\n  qmtl service ${name} --config qmtl.yml\n\nNeeds storage.kind: postgres, bus.kind: kafka and security.gateways.`,
      )
      .action((_options: unknown, command: Command) => runUntilStopped(name, command));
  }
  service
    .command("dagmanager", { hidden: true })
    .command("server")
    .description(descriptions["dag-manager"])
    .addHelpText("after", "\nExample:\n  qmtl service dagmanager server --config qmtl.yml")
    .action((_options: unknown, command: Command) => runUntilStopped("dag-manager", command));
}
