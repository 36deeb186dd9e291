import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { ExitCode } from "../exit-codes.ts";
import { printJson } from "../print.ts";
import { type TagFinding, tagRules } from "../taglint/tag-finding.ts";
import { writeWhole } from "../write-whole.ts";

interface TaglintOptions extends GlobalOptions {
  fix?: boolean;
}

const RULES = Object.entries(tagRules)
  .map(([rule, meaning]) => `  ${rule.padEnd(20)} ${meaning}`)
  .join("\n");

/** `qmtl taglint FILES…`: the tags of modules, read without running them. */
export function addTaglintCommand(program: Command): void {
  program
    .command("taglint <files...>")
    .description("check the TAGS of modules, and the tags given to nodes")
    .option("--fix", "correct case and intervals, and add missing keys with empty values")
    .addHelpText(
      "after",
      `
Examples:
  qmtl taglint indicators/momentum.ts
  qmtl taglint --fix indicators/momentum.ts transforms/clipped.ts

A finding is FILE:LINE:COLUMN, its rule and what is wrong. Exits with 1 while any is left: a key that --fix adds is empty,
and a finding until you fill it in. Exits with 2 when a file cannot be read or parsed; the others are still checked.

Rules:
${RULES}`,
    )
    .action(async (files: string[], _options: unknown, command: Command) => {
      const { json, fix } = command.optsWithGlobals<TaglintOptions>();
      // The parser is loaded here, so that no other command pays for it.
      const { lintTags, mendTags } = await import("../taglint/lint-tags.ts");
      const asJson = json === true;
      const count = { files: 0, findings: 0, fixed: 0, unreadable: 0 };
      for (const file of new Map(files.map((each) => [resolve(each), each])).values()) {
        count.files++;
        try {
          const text = readSource(file);
          const { mended, ...after } =
            fix === true ? mendTags(file, text) : { text, mended: [], left: lintTags(file, text) };
          if (after.text !== text) writeWhole(file, after.text, true);
          for (const finding of mended) printFinding(file, text, finding, true, asJson);
          for (const finding of after.left) printFinding(file, after.text, finding, false, asJson);
          count.fixed += mended.length;
          count.findings += after.left.length;
        } catch (failure) {
          count.unreadable++;
          printUnreadable(file, failure, asJson);
        }
      }
      if (asJson) printJson(count);
      else console.log(summary(count));
      if (count.unreadable > 0) process.exitCode = ExitCode.usage;
      else if (count.findings > 0) process.exitCode = ExitCode.refused;
    });
}

function readSource(file: string): string {
  if (!/\.[cm]?[jt]sx?$/.test(file)) throw new Error("is not a JavaScript or TypeScript file");
  const bytes = readFileSync(file);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error("is not UTF-8");
  }
}

function printFinding(
  file: string,
  text: string,
  { rule, message, at }: TagFinding,
  isFixed: boolean,
  asJson: boolean,
): void {
  const place = placeOf(text, at);
  if (asJson) printJson({ file, ...place, rule, message, fixed: isFixed });
  else
    console.log(
      `${file}:${place.line}:${place.column}  ${rule}  ${message}${isFixed ? " (fixed)" : ""}`,
    );
}

function printUnreadable(file: string, failure: unknown, asJson: boolean): void {
  const error = failure instanceof Error ? failure.message : String(failure);
  const at = failure instanceof Error && "at" in failure ? Number(failure.at) : undefined;
  const place = at === undefined ? {} : placeOf(readSource(file), at);
  if (asJson) console.error(JSON.stringify({ file, ...place, error }));
  else console.error(`error: ${[file, ...Object.values(place)].join(":")}: ${error}`);
}

/** Line and column, both from 1. */
function placeOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}

function summary(count: { files: number; findings: number; fixed: number; unreadable: number }) {
  const { files, findings, fixed, unreadable } = count;
  return `files ${files}, findings left ${findings}, fixed ${fixed}, not read ${unreadable}`;
}
