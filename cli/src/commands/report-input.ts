import { CommandError, ExitCode } from "../exit-codes.ts";
import { readUpTo } from "../input-file.ts";

/** Largest file read, bytes. */
const fileBytesMax = 256 * 1024 * 1024;
/** Most elements that an error names as not being numbers. */
const namedMax = 3;

/** The object of a file for `qmtl report`: a list of returns, and whatever else is with it. */
export interface ReportInput {
  /** At least one; simple returns, oldest first. */
  readonly returns: readonly number[];
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Reads the file `--from` names, `-` for standard input: an object with `returns`.
 *
 * @throws {CommandError} exit code 2, naming the file and the field
 */
export function readReportInput(file: string): ReportInput {
  const name = file === "-" ? "standard input" : file;
  const value = parse(readText(file, name), name);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(`${name} must hold an object with "returns"`, `{"returns": [0.01, -0.02]}`);
  const fields = Object.fromEntries(Object.entries(value));
  if (!("returns" in fields)) {
    const known = Object.keys(fields).slice(0, 8).join(", ");
    throw bad(`${name} has no field "returns"; it has ${known || "none"}`, HOW_TO_MAKE);
  }
  const returns = numbersOf(fields.returns, "returns", name);
  if (returns.length === 0) throw bad(`${name}: returns is empty`, HOW_TO_MAKE);
  return { returns, fields };
}

/**
 * A field as a list of finite numbers.
 *
 * @throws {CommandError} exit code 2, naming what is not a number by its index
 */
export function numbersOf(value: unknown, field: string, name: string): number[] {
  if (!Array.isArray(value)) throw bad(`${name}: ${field} must be a list of numbers`);
  const odd = value.flatMap((each: unknown, index) =>
    typeof each === "number" && Number.isFinite(each)
      ? []
      : [`${field}[${index}] is ${typeof each === "object" ? JSON.stringify(each) : String(each)}`],
  );
  if (odd.length === 0) return value.map(Number);
  const more = odd.length > namedMax ? ` and ${odd.length - namedMax} more` : "";
  throw bad(
    `${name}: ${odd.slice(0, namedMax).join(", ")}${more}; every one must be a number`,
    "leave missing values out",
  );
}

const HOW_TO_MAKE = "`qmtl run STRATEGY --offline --json` prints such an object";

function readText(file: string, name: string): string {
  let bytes: Buffer | undefined;
  try {
    bytes = readUpTo(file === "-" ? 0 : file, fileBytesMax);
  } catch (failure) {
    const why = failure instanceof Error ? failure.message.replace(/,.*/, "") : String(failure);
    throw bad(`--from: ${name} cannot be read: ${why}`, HOW_TO_MAKE);
  }
  if (bytes === undefined) throw bad(`--from: ${name} is larger than ${fileBytesMax} bytes`);
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (failure) {
    // Some languages write NaN and Infinity, which JSON does not have: read as texts, they can be named by index.
    const quoted = text.replace(/(?<=[[,:\s])-?(?:NaN|Infinity)(?=[\],}\s])/g, '"$&"');
    if (quoted !== text) return parse(quoted, name);
    throw bad(`--from: ${name} is not JSON: ${failure instanceof Error ? failure.message : ""}`);
  }
}

function bad(message: string, hint?: string): CommandError {
  return new CommandError(message, ExitCode.usage, hint);
}
