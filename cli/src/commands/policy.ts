import { randomUUID } from "node:crypto";
import {
  type Policy,
  PolicySchema,
  PolicyService,
} from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Command } from "commander";
import { CommandError, ExitCode } from "../exit-codes.ts";
import { readTextFile } from "../input-file.ts";
import { jsonOf } from "../json-of.ts";
import { integerIn } from "../option-values.ts";
import { allOf } from "../pages-of.ts";
import { printJson, printTable } from "../print.ts";
import { type CommandSession, withSession } from "../session.ts";

/** Checks a policy for a world, and stores it unless `validateOnly` is set. */
async function createPolicy(
  session: CommandSession,
  worldId: string,
  file: string,
  validateOnly: boolean,
): Promise<Policy> {
  const document = readTextFile(file);
  const { policy } = await session
    .client(PolicyService)
    .createPolicy({ worldId, document, validateOnly, requestId: randomUUID() });
  if (!policy) throw new CommandError("the response contains no policy");
  return policy;
}

/** The first world there is: whether a policy is valid does not depend on the world. */
async function anyWorld(session: CommandSession): Promise<string> {
  const { worlds } = await session.client(WorldService).listWorlds({ pageSize: 1 });
  const [first] = worlds;
  if (first !== undefined) return first.worldId;
  throw new CommandError(
    "the platform checks a policy for a world, and there is no world yet",
    ExitCode.refused,
    "`qmtl world create demo` makes one",
  );
}

/** `qmtl policy …`: check, upload, list, show and choose the policy of a world. */
export function addPolicyCommands(program: Command): void {
  const policy = program.command("policy").description("policies of a world");
  addCheckingCommands(policy);

  policy
    .command("list <world>")
    .description("policies of a world, newest first")
    .addHelpText("after", "\nExample:\n  qmtl policy list demo")
    .action(
      withSession(async (session, worldId: string) => {
        const service = session.client(PolicyService);
        const policies = await allOf(
          (pageToken) => service.listPolicies({ worldId, pageSize: 1000, pageToken }),
          (page) => page.policies,
        );
        if (session.asJson) return printJson(policies.map((each) => jsonOf(PolicySchema, each)));
        printTable(
          ["version", "default", "checksum", "by"],
          policies.map((each) => [
            String(each.version),
            each.isDefault ? "yes" : "",
            each.checksum.slice(0, 19),
            each.principal,
          ]),
        );
      }),
    );

  policy
    .command("show <world>")
    .argument("[version]", "the one in force by default", integerIn({ min: 1 }))
    .description("the text of a policy")
    .addHelpText("after", "\nExample:\n  qmtl policy show demo 2")
    .action(
      withSession(async (session, worldId: string, version: number | undefined) => {
        const { policy: found } = await session
          .client(PolicyService)
          .getPolicy({ worldId, version: version ?? 0 });
        if (!found) throw new CommandError("the response contains no policy");
        if (session.asJson) return printJson(jsonOf(PolicySchema, found));
        console.log(found.document);
      }),
    );

  policy
    .command("set-default <world>")
    .argument("<version>", "version to put in force", integerIn({ min: 1 }))
    .description("put another version in force")
    .addHelpText("after", "\nExample:\n  qmtl policy set-default demo 2")
    .action(
      withSession(async (session, worldId: string, version: number) => {
        const { policy: now } = await session
          .client(PolicyService)
          .setDefaultPolicy({ worldId, version });
        if (session.asJson && now) return printJson(jsonOf(PolicySchema, now));
        console.log(`policy ${version} of ${worldId} is in force`);
      }),
    );
}

function addCheckingCommands(policy: Command): void {
  policy
    .command("add <world> <file>")
    .description(
      "check a whole policy and store it; the first policy of a world becomes its default",
    )
    .option("--check", "check only, store nothing")
    .addHelpText("after", "\nExample:\n  qmtl policy add demo policy.yml --check")
    .action(
      withSession(async (session, worldId: string, file: string, options: { check?: boolean }) => {
        const validateOnly = options.check === true;
        const stored = await createPolicy(session, worldId, file, validateOnly);
        if (session.asJson) return printJson(jsonOf(PolicySchema, stored));
        console.log(
          validateOnly
            ? "the policy is valid"
            : `policy ${stored.version} of ${worldId} stored${stored.isDefault ? ", in force" : ""}`,
        );
      }),
    );

  policy
    .command("validate <file>")
    .description("check a whole policy; store nothing")
    .option("--world <world>", "world to check it for (default: the first one)")
    .addHelpText("after", "\nExample:\n  qmtl policy validate policy.yml")
    .action(
      withSession(async (session, file: string, options: { world?: string }) => {
        readTextFile(file); // a file that cannot be read is reported before a platform is asked
        const worldId = options.world ?? (await anyWorld(session));
        const { checksum } = await createPolicy(session, worldId, file, true);
        if (session.asJson) return printJson({ valid: true, file, checksum });
        console.log("the policy is valid");
      }),
    );
}
