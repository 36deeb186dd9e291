import { readFileSync } from "node:fs";
import { PolicySchema, PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import type { Command } from "commander";
import { CommandError } from "../exit-codes.ts";
import { jsonOf, printJson, printTable } from "../print.ts";
import { withSession } from "../session.ts";

/** The text of a file named on the command line. Usage error when it cannot be read. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CommandError(
      `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/** `qmtl policy …`: upload, list, show and choose the policy of a world. */
export function addPolicyCommands(program: Command): void {
  const policy = program.command("policy").description("policies of a world");

  policy
    .command("add <world> <file>")
    .description("check a policy whole and store it; the first of a world becomes its default")
    .option("--check", "check only, store nothing")
    .addHelpText("after", "\nExample:\n  qmtl policy add demo policy.yml --check")
    .action(
      withSession(async (session, worldId: string, file: string, options: { check?: boolean }) => {
        const document = readTextFile(file);
        const validateOnly = options.check === true;
        const { policy: stored } = await session
          .client(PolicyService)
          .createPolicy({ worldId, document, validateOnly });
        if (!stored) throw new CommandError("the answer holds no policy");
        if (session.asJson) return printJson(jsonOf(PolicySchema, stored));
        console.log(
          validateOnly
            ? "policy is good"
            : `policy ${stored.version} of ${worldId} stored${stored.isDefault ? ", in force" : ""}`,
        );
      }),
    );

  policy
    .command("list <world>")
    .description("policies of a world, newest first")
    .addHelpText("after", "\nExample:\n  qmtl policy list demo")
    .action(
      withSession(async (session, worldId: string) => {
        const { policies } = await session.client(PolicyService).listPolicies({ worldId });
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
    .command("show <world> [version]")
    .description("the text of a policy; the one in force by default")
    .addHelpText("after", "\nExample:\n  qmtl policy show demo 2")
    .action(
      withSession(async (session, worldId: string, version: string | undefined) => {
        const { policy: found } = await session
          .client(PolicyService)
          .getPolicy({ worldId, version: Number(version ?? 0) });
        if (!found) throw new CommandError("the answer holds no policy");
        if (session.asJson) return printJson(jsonOf(PolicySchema, found));
        console.log(found.document);
      }),
    );

  policy
    .command("set-default <world> <version>")
    .description("put another version in force")
    .addHelpText("after", "\nExample:\n  qmtl policy set-default demo 2")
    .action(
      withSession(async (session, worldId: string, version: string) => {
        const { policy: now } = await session
          .client(PolicyService)
          .setDefaultPolicy({ worldId, version: Number(version) });
        if (session.asJson && now) return printJson(jsonOf(PolicySchema, now));
        console.log(`policy ${version} of ${worldId} is in force`);
      }),
    );
}
