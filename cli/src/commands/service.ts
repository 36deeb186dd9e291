import type { ServiceName, StartedService } from "@qmtl/embedded";
import { loadConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";
import { accountHeldRefusal } from "../account-held.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { untilEnded } from "../until-ended.ts";
import { endingAtOnce, untilStopped } from "../until-stopped.ts";

const descriptions: Record<ServiceName, string> = {
  gateway: "start a gateway in this process",
  "dag-manager": "start the DAG Manager in this process",
  "world-service": "start WorldService in this process",
};

interface ServiceOptions extends GlobalOptions {
  readonly standby?: boolean;
}

async function runUntilStopped(name: ServiceName, command: Command): Promise<void> {
  const options = command.optsWithGlobals<ServiceOptions>();
  const config = loadConfig(options.config === undefined ? {} : { path: options.config });
  const service = await endingAtOnce(async () => {
    // Loaded here, so that no other command pays for it.
    const { startService } = await import("@qmtl/embedded");
    const standby = options.standby === true;
    return startService(name, config, { standby }).catch(refuseHeld);
  });
  const stopped = untilStopped();
  const { address } = service;
  const role = roleOf(service);
  if (options.json) printJson({ event: "ready", service: name, address, ...(role && { role }) });
  else
    console.log(
      `${name} ready at ${address}${role === undefined ? "" : READY[role]}; Ctrl-C stops`,
    );
  service.leading?.onChange(() => {
    const now = roleOf(service);
    if (options.json) printJson({ event: now, service: name, address });
    else if (now !== undefined) console.log(`${name} at ${address} ${CHANGED[now]}`);
  });
  await untilEnded(service, stopped, options.json === true);
}

function refuseHeld(failure: unknown): never {
  throw accountHeldRefusal(failure);
}

type Role = "leader" | "standby" | "unsure";

/** Role of a process; undefined where no other process could lead. */
function roleOf({ leading }: Pick<StartedService, "leading">): Role | undefined {
  if (leading === undefined) return undefined;
  return leading.standing === "leads" ? "leader" : leading.standing;
}

const READY: Readonly<Record<Role, string>> = {
  leader: "",
  standby: ", a standby: another process leads",
  unsure: ", not as leader: the database does not say who leads",
};

const CHANGED: Readonly<Record<Role, string>> = {
  leader: "leads now",
  standby: "stands by now",
  unsure: "does not act as leader now: the database does not say who leads",
};

const more = `
With the defaults, a service keeps its data in a folder of its own (.qmtl/data-gateway, …), the gateway follows the
events of the two others over gRPC, and all three share a secret that the first of them makes, mode 0600, in the user's
state folder (~/.local/state/qmtl). Start them in any order; there is no server to install. For servers: storage.kind: postgres with
bus.kind: kafka (or direct), and security.gateways when they stand on several machines.`;

/** `qmtl service …`: the distributed shape, one process for each service. */
export function addServiceCommands(program: Command): void {
  const service = program
    .command("service")
    .description("start one of the three services in this process");
  for (const [name, description] of Object.entries(descriptions) as [ServiceName, string][]) {
    const one = service.command(name).description(description);
    if (name === "gateway") {
      one.option("--standby", "wait while another gateway holds the accounts, and take over");
    }
    one
      .addHelpText(
        "after",
        `\nExamples:\n  qmtl service ${name}\n  qmtl service ${name} --config qmtl.yml\n${more}`,
      )
      .action((_options: unknown, command: Command) => runUntilStopped(name, command));
  }
  service
    .command("dagmanager", { hidden: true })
    .command("server")
    .description(descriptions["dag-manager"])
    .addHelpText(
      "after",
      `\nExamples:\n  qmtl service dagmanager server\n  qmtl service dagmanager server --config qmtl.yml\n${more}`,
    )
    .action((_options: unknown, command: Command) => runUntilStopped("dag-manager", command));
}
