import {
  configJsonSchema,
  explainConfig,
  type LoadConfigOptions,
  loadConfig,
} from "@qmtl/sdk/config";
import type { Command } from "commander";
import { type Check, isHealthy, printChecks } from "../checks/check.ts";
import { checkAddresses } from "../checks/check-addresses.ts";
import { checkFiles } from "../checks/check-files.ts";
import { knockServices } from "../checks/knock-services.ts";
import { knockBrokers, knockDatabase } from "../checks/knock-storage.ts";
import { ExitCode } from "../exit-codes.ts";
import { printJson } from "../print.ts";
import type { GlobalOptions } from "../session.ts";
import { explainAll, printExplanation, printExplanations } from "./config-explain.ts";
import { configTemplate } from "./config-template.ts";

/** `qmtl config …`: check, write and explain `qmtl.yml`. */
export function addConfigCommands(program: Command): void {
  const config = program.command("config").description("qmtl.yml: check it, write it, explain it");

  config
    .command("validate")
    .description("check the configuration, and knock at the services it names")
    .option("--offline", "do not knock")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config validate\n  qmtl config validate --offline --json\n\nA key that does not hold is told with FILE:LINE:COLUMN and ends with 2; a service that cannot be reached with 3.",
    )
    .action(async (options: { offline?: boolean }, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      const { checks, exitCode } = await validate(given, options.offline === true);
      printChecks(checks, given.json === true);
      if (exitCode !== ExitCode.ok) process.exitCode = exitCode;
    });

  config
    .command("generate")
    .description("print a commented qmtl.yml with every key and its default")
    .option("--schema", "print the JSON schema instead, for editors")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config generate > qmtl.yml\n  qmtl config generate --schema > qmtl.schema.json",
    )
    .action((options: { schema?: boolean }, command: Command) => {
      const asJson = command.optsWithGlobals<GlobalOptions>().json === true;
      const schema = configJsonSchema();
      if (options.schema) return console.log(JSON.stringify(schema, undefined, asJson ? 0 : 2));
      const text = configTemplate(schema);
      if (asJson) printJson({ text });
      else console.log(text.trimEnd());
    });

  config
    .command("explain [key]")
    .description("what a key means, its default, its value now and where that comes from")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config explain gateway.port\n  qmtl config explain\n\nWithout a key: the values of all keys.",
    )
    .action((key: string | undefined, _options: unknown, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      const asJson = given.json === true;
      const options = fileOptions(given);
      if (key === undefined) return printExplanations(explainAll(options), asJson);
      printExplanation(explainConfig(key, options), asJson);
    });
}

/** @throws {ConfigError} with every issue of the file */
async function validate(
  given: GlobalOptions,
  isOffline: boolean,
): Promise<{ checks: readonly Check[]; exitCode: ExitCode }> {
  const options = fileOptions(given);
  const loaded = loadConfig(options);
  const gateway_url = given.gatewayUrl ?? loaded.sdk.gateway_url;
  const config = { ...loaded, sdk: { ...loaded.sdk, gateway_url } };
  const held: Check = { name: "configuration", status: "ok", detail: "every key holds" };
  const here = [held, ...checkAddresses(config), ...checkFiles(config, options)];
  if (isOffline) return { checks: here, exitCode: ExitCode.ok };
  const knocks = await knockServices(config, { apiKey: process.env.QMTL_API_KEY });
  const { check: database } = await knockDatabase(config, Date.now);
  const servers = [database, await knockBrokers(config)];
  const checks = [...here, ...knocks, ...servers];
  if (isHealthy(checks)) return { checks, exitCode: ExitCode.ok };
  const isSilent = !isHealthy(servers) || knocks.some(({ isThere }) => !isThere);
  return { checks, exitCode: isSilent ? ExitCode.unreachable : ExitCode.refused };
}

function fileOptions({ config }: GlobalOptions): LoadConfigOptions {
  return config === undefined ? {} : { path: config };
}
