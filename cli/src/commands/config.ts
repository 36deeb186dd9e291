import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import {
  type ConfigExplanation,
  configJsonSchema,
  explainConfig,
  type LoadConfigOptions,
  leafKeys,
  loadConfig,
  type QmtlConfig,
} from "@qmtl/sdk/config";
import { type Command, Option } from "commander";
import { type Check, isHealthy, printChecks } from "../checks/check.ts";
import { checkAddresses } from "../checks/check-addresses.ts";
import { checkDeprecated } from "../checks/check-deprecated.ts";
import { checkFiles } from "../checks/check-files.ts";
import { checkServices } from "../checks/check-services.ts";
import { checkBrokers, checkDatabase } from "../checks/check-storage.ts";
import type { GlobalOptions } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";
import { printJson, printTable } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { writeWhole } from "../write-whole.ts";
import { type ConfigProfile, configTemplate } from "./config-template.ts";

/** What `config validate` looks at; `dagmanager` is an old spelling. */
const targets = ["schema", "gateway", "dag-manager", "dagmanager", "world-service", "all"] as const;

interface ValidateOptions {
  readonly target: (typeof targets)[number];
  readonly offline?: boolean;
}

/** `qmtl config …`: check, write and explain `qmtl.yml`. */
export function addConfigCommands(program: Command): void {
  const config = program.command("config").description("qmtl.yml: check it, write it, explain it");

  config
    .command("validate")
    .description("check the configuration, and try to reach the services it names")
    .addOption(
      new Option("--target <target>", "what to check in addition to the file")
        .choices(targets)
        .default("all"),
    )
    .option("--offline", "do not contact any service")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config validate\n  qmtl config validate --target gateway\n  qmtl config validate --offline --json\n\nTarget schema checks the file alone. An invalid key is reported with FILE:LINE:COLUMN and exit code 2, a service that cannot be reached with exit code 3.",
    )
    .action(async (options: ValidateOptions, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      const { checks, exitCode } = await validate(given, options);
      printChecks(checks, given.json === true);
      if (exitCode !== ExitCode.ok) process.exitCode = exitCode;
    });

  addConfigWriters(config);

  config
    .command("explain [key]")
    .description("what a key means, its default, its current value and where that comes from")
    .addHelpText(
      "after",
      "\nExamples:\n  qmtl config explain gateway.port\n  qmtl config explain QMTL__GATEWAY__PORT\n  qmtl config explain\n\nWithout a key: the values of all keys.",
    )
    .action((key: string | undefined, _options: unknown, command: Command) => {
      const given = command.optsWithGlobals<GlobalOptions>();
      const asJson = given.json === true;
      const options = fileOptions(given);
      if (key === undefined) return printExplanations(explainAll(options), asJson);
      printExplanation(explainConfig(keyOf(key), options), asJson);
    });
}

/** @throws {ConfigError} with every issue of the file */
async function validate(
  given: GlobalOptions,
  { target, offline }: ValidateOptions,
): Promise<{ checks: readonly Check[]; exitCode: ExitCode }> {
  const options = fileOptions(given);
  const loaded = loadConfig(options);
  const held: Check = { name: "configuration", status: "ok", detail: "every key is valid" };
  const schema = [held, ...checkDeprecated(loaded, options)];
  if (target === "schema") return { checks: schema, exitCode: ExitCode.ok };
  const gateway_url = given.gatewayUrl ?? loaded.sdk.gateway_url;
  const config = { ...loaded, sdk: { ...loaded.sdk, gateway_url } };
  const here = [...schema, ...checkAddresses(config), ...checkFiles(config, options)];
  if (offline === true) return { checks: here, exitCode: ExitCode.ok };
  const all = await checkServices(config, { apiKey: process.env.QMTL_API_KEY });
  const wanted = target === "dagmanager" ? "dag-manager" : target;
  const services = all.filter(({ name }) => wanted === "all" || name === wanted);
  const servers = wanted === "all" ? await checkStorage(config) : [];
  const checks = [...here, ...services, ...servers];
  if (isHealthy(checks)) return { checks, exitCode: ExitCode.ok };
  const isSilent = !isHealthy(servers) || services.some(({ isThere }) => !isThere);
  return { checks, exitCode: isSilent ? ExitCode.unreachable : ExitCode.refused };
}

async function checkStorage(config: QmtlConfig): Promise<Check[]> {
  const { check } = await checkDatabase(config, Date.now);
  return [check, await checkBrokers(config)];
}

/** A key by its own name, or by that of its variable: `QMTL__GATEWAY__PORT` is `gateway.port`. */
function keyOf(name: string): string {
  return /^QMTL__/i.test(name) ? name.slice(6).toLowerCase().replaceAll("__", ".") : name;
}

function fileOptions({ config }: GlobalOptions): LoadConfigOptions {
  return config === undefined ? {} : { path: config };
}

/** Explains every key that has a value of its own; those of named entries once for each entry there is. */
function explainAll(options: LoadConfigOptions): ConfigExplanation[] {
  const config: unknown = loadConfig(options);
  return leafKeys()
    .flatMap((leaf) => namedKeys(leaf.split("."), config))
    .map((path) => explainConfig(path.join("."), options));
}

function printExplanation(explained: ConfigExplanation, asJson: boolean): void {
  const variable = variableOf(explained.key);
  if (asJson) {
    printJson({ ...explained, variable });
    return;
  }
  const { key, description, type, range, origin, value } = explained;
  console.log(key);
  const rows = [
    ["meaning", description],
    ["type", range === undefined ? type : `${type}, ${range}`],
    [
      "default",
      JSON.stringify(explained.default) ??
        (type.startsWith("{") ? "none" : "none: the key is required"),
    ],
    ["environment", variable],
    ["value", value === undefined ? "none" : JSON.stringify(value)],
    ["from", origin],
    ...Object.entries(explained.sets ?? {}).map(([other, set], index) => [
      index === 0 ? "when on" : "",
      `${other} is ${JSON.stringify(set)} unless set itself`,
    ]),
  ];
  for (const [name = "", text = ""] of rows) console.log(`  ${name.padEnd(12)} ${text}`);
}

function printExplanations(all: readonly ConfigExplanation[], asJson: boolean): void {
  if (asJson) {
    printJson(all.map((each) => ({ ...each, variable: variableOf(each.key) })));
    return;
  }
  printTable(
    ["key", "value", "from"],
    all.map(({ key, value, origin }) => [key, JSON.stringify(value) ?? "none", origin]),
  );
}

/** The environment variable that overrides a key. */
function variableOf(key: string): string {
  return `QMTL__${key.split(".").join("__").toUpperCase()}`;
}

/** `sources.*.file` as `sources.day.file`, for each source there is. */
function namedKeys(path: readonly string[], root: unknown): string[][] {
  let found: { path: string[]; value: unknown }[] = [{ path: [], value: root }];
  for (const part of path) {
    found = found.flatMap(({ path: above, value }) => {
      const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
      if (part !== "*") {
        const inner = entries.find(([name]) => name === part)?.[1];
        return [{ path: [...above, part], value: inner }];
      }
      return entries.map(([name, inner]) => ({ path: [...above, name], value: inner }));
    });
  }
  return found.map((each) => each.path);
}

interface OutputOptions {
  readonly output?: string;
  readonly force?: boolean;
}

/** `qmtl config generate` and `qmtl config schema`: what to write, and what editors check it with. */
function addConfigWriters(config: Command): void {
  config
    .command("generate")
    .description("print or write a commented qmtl.yml with the defaults")
    .addOption(
      new Option("--profile <profile>", "the keys a first project changes, or all keys")
        .choices(["minimal", "maximal"])
        .default("minimal"),
    )
    .option("--output <file>", "write to a file instead of printing")
    .option("--force", "replace the file if it exists")
    .addHelpText(
      "after",
      `\nExamples:\n  qmtl config generate --output qmtl.yml\n  qmtl config generate --profile maximal\n\nWith ${schemaFileName} (qmtl config schema) in the same folder its first line names that for editors.`,
    )
    .action((options: OutputOptions & { profile: ConfigProfile }, command: Command) => {
      const { output, profile } = options;
      const folder = output === undefined ? "." : dirname(resolve(output));
      const text = `${schemaLine(folder)}${configTemplate(configJsonSchema(), profile)}`;
      hand(text, options, isJson(command), () => printJson({ text }));
    });

  config
    .command("schema")
    .description("print or write the JSON schema of qmtl.yml, for editors")
    .option("--output <file>", "write to a file instead of printing")
    .option("--force", "replace the file if it exists")
    .addHelpText(
      "after",
      `\nExamples:\n  qmtl config schema --output ${schemaFileName}\n  qmtl config schema --output ${schemaFileName} --force`,
    )
    .action((options: OutputOptions, command: Command) => {
      const schema = configJsonSchema();
      const text = `${JSON.stringify(schema, undefined, 2)}\n`;
      hand(text, options, isJson(command), () => printJson(schema));
    });
}

function isJson(command: Command): boolean {
  return command.optsWithGlobals<GlobalOptions>().json === true;
}

/** Writes the text, or prints it. */
function hand(
  text: string,
  { output, force }: OutputOptions,
  asJson: boolean,
  print: () => void,
): void {
  if (output === undefined) refuseIdle({ "--force": force }, "without --output");
  if (output !== undefined) {
    const file = writeWhole(output, text, force === true);
    if (asJson) printJson({ file });
    else console.log(`${file} written`);
  } else if (asJson) print();
  else console.log(text.trimEnd());
}

/** Name under which `qmtl.yml` finds its JSON schema beside it. */
const schemaFileName = "qmtl.schema.json";

/** First line that tells editors where the schema is; empty where there is none beside the file. */
function schemaLine(folder: string): string {
  if (!existsSync(join(folder, schemaFileName))) return "";
  return `# yaml-language-server: $schema=./${schemaFileName}\n`;
}
