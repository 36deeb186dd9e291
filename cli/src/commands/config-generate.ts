import { dirname, resolve } from "node:path";
import { configJsonSchema } from "@qmtl/sdk/config";
import { type Command, Option } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";
import { refuseIdle } from "../refuse-idle.ts";
import { writeWhole } from "../write-whole.ts";
import { type ConfigProfile, configTemplate } from "./config-template.ts";
import { schemaFileName, schemaLine } from "./schema-line.ts";

interface OutputOptions {
  readonly output?: string;
  readonly force?: boolean;
}

/** `qmtl config generate` and `qmtl config schema`: what to write, and what editors check it with. */
export function addConfigWriters(config: Command): void {
  config
    .command("generate")
    .description("print or write a commented qmtl.yml with the defaults")
    .addOption(
      new Option("--profile <profile>", "the keys a first project changes, or all there are")
        .choices(["minimal", "maximal"])
        .default("minimal"),
    )
    .option("--output <file>", "write a file instead of printing")
    .option("--force", "replace the file if there is one")
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
    .option("--output <file>", "write a file instead of printing")
    .option("--force", "replace the file if there is one")
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
