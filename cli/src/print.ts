import { type Duration, durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { QmtlError } from "@qmtl/sdk/errors";
import { CommandError, reasonOf } from "./exit-codes.ts";
import { peerHint } from "./no-answer.ts";

export function printJson(value: unknown): void {
  console.log(JSON.stringify(value));
}

/** Prints on standard error what is not part of the answer but must not be missed; with `asJson` as a JSON object. */
export function printNote(note: string, asJson: boolean): void {
  console.error(asJson ? JSON.stringify({ note }) : `note: ${note}`);
}

/** Prints rows under a header, columns padded to their widest cell; numbers as given. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  if (rows.length === 0) {
    console.log("(none)");
    return;
  }
  const widths = header.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  console.log(line(header.map((name) => name.toUpperCase())));
  for (const row of rows) console.log(line(row));
}

/** The name of an enum value without its prefix, in lower case: `EFFECTIVE_MODE_COMPUTE_ONLY` → `compute_only`. */
export function enumName(values: Readonly<Record<string, string | number>>, value: number): string {
  const name = Object.entries(values).find(([, number]) => number === value)?.[0] ?? "unspecified";
  return name.toLowerCase();
}

/** ISO time of milliseconds since the epoch; `-` for none. */
export function isoTime(milliseconds: number | bigint): string {
  const ms = Number(milliseconds);
  return ms === 0 ? "-" : new Date(ms).toISOString();
}

/** ISO time of a moment; `-` for none. */
export function timeText(time: Timestamp | undefined): string {
  return time === undefined ? "-" : new Date(timestampMs(time)).toISOString();
}

/** A span in milliseconds; 0 for none. */
export function millisecondsOf(span: Duration | undefined): number {
  return span === undefined ? 0 : durationMs(span);
}

const HINTS: Readonly<Record<string, string>> = {
  PEER_UNAVAILABLE: "is the platform running? start it with `qmtl up`, or set --gateway-url",
  OUTCOME_UNKNOWN:
    "it may have been done: check before you repeat a command that changes something; one that only reads may be repeated. `qmtl doctor` shows what does not answer",
  STORE_UNAVAILABLE: "start the database again, then repeat the command; `qmtl doctor` tries it",
  DB_UNAVAILABLE:
    "start the database of storage.dsn; with storage.kind: embedded start this again: what was stored is in its folder",
  BUS_UNAVAILABLE: "start the broker of bus.brokers, or set bus.kind: embedded",
  CONFIG_INVALID: "`qmtl config explain KEY` shows what a key takes, without KEY it lists all keys",
  CONFIG_NOT_FOUND:
    "name another file with --config, or leave it out to use qmtl.yml in this folder",
  SOURCE_NOT_FOUND: "sources are set in the platform's qmtl.yml; see `qmtl config explain sources`",
  SCHEMA_VERSION_UNSUPPORTED:
    "upgrade the older side; `qmtl doctor` checks the versions installed here",
  WORLD_NOT_FOUND: "`qmtl world list` lists the worlds there are",
  STRATEGY_NOT_FOUND: "`qmtl world show WORLD` shows its strategies",
  WORLD_HELD:
    "`qmtl world show WORLD` names the hold; `qmtl world resume WORLD --hold NAME --reason WHY` removes it",
  APPLY_IN_PROGRESS:
    "`qmtl world runs WORLD` shows the run; `qmtl world cancel WORLD RUN` rolls it back",
  ACCOUNT_NOT_FOUND: "`qmtl account list` lists the accounts there are",
  ORDER_NOT_FOUND: "`qmtl orders` lists the orders there are",
  HALT_NOT_FOUND: "`qmtl halts` shows the halts in force",
  ACCOUNT_UNRECONCILED:
    "`qmtl account reconcile ACCOUNT` compares again; `qmtl account adjust` books a difference you can explain",
  POLICY_NOT_FOUND:
    "`qmtl policy list WORLD` lists the versions there are, `qmtl policy add WORLD FILE` adds one",
  RUN_NOT_FOUND: "`qmtl world runs WORLD` lists the runs there are",
  EVALUATION_NOT_FOUND: "`qmtl world evaluate WORLD` makes one",
  ACTIVATION_NOT_FOUND: "only an apply switches on: `qmtl world apply WORLD --run ID --to MODE`",
  MODE_NOT_REACHABLE: "`qmtl explain WORLD STRATEGY` names what holds the mode down",
  ETAG_MISMATCH: "somebody else changed it in the meantime; look at it, then try again",
  SCHEMA_VERSION_REQUIRED: "say --schema-version 2",
  FEATURE_NOT_BUILT: "it is in the contract, but this version does not serve it; nothing was done",
  METHOD_NOT_SERVED:
    "this port does not serve it: check the address, and the version that listens there",
  MESSAGE_TOO_LARGE: "send less at once; the same message would be refused again",
  PRINCIPAL_UNKNOWN: "set QMTL_API_KEY to the key of an entry of security.keys",
  STORE_FORMAT_REFUSED:
    "nothing was changed, and nothing converts them: name another folder (storage.data_dir) or database, or stay with that version",
  DATA_FOLDER_LOCKED:
    "stop that process first; the lock of a dead process is taken over automatically",
  PORT_TAKEN: "stop the process that listens there, or set another port in qmtl.yml",
};

/** Prints a failure on standard error: what, which fields, what to do next; with `asJson` as one JSON object. */
export function printFailure(failure: unknown, asJson: boolean): void {
  const error = failure instanceof Error ? failure : new Error(String(failure));
  const reason = reasonOf(error);
  const hint = hintOf(error, reason);
  const fields = error instanceof QmtlError ? error.fields : [];
  if (asJson) {
    console.error(
      JSON.stringify({ error: error.message, reason, fields, ...placeOf(error), hint }),
    );
    return;
  }
  const { message, lines } = printFields(error.message, fields);
  console.error(`error: ${message}${reason === undefined ? "" : ` [${reason}]`}`);
  for (const line of lines) console.error(`  ${line}`);
  if (hint !== undefined) console.error(`hint: ${hint}`);
}

function hintOf(error: Error, reason: string | undefined): string | undefined {
  if (error instanceof CommandError) return error.hint;
  // CONFIG_INVALID of a QmtlError is a bad address, which needs no hint; a bad file is a ConfigError.
  if (reason === undefined || (reason === "CONFIG_INVALID" && error instanceof QmtlError)) return;
  const { next, peer, key } = error instanceof QmtlError ? error.metadata : {};
  if (reason === "PORT_TAKEN" && key !== undefined) {
    return `stop the process that listens there, or set another port: ${key} in qmtl.yml`;
  }
  if (reason === "PEER_UNAVAILABLE" && peer !== undefined) return peerHint(peer);
  if (reason === "MODE_NOT_REACHABLE" && next !== undefined) {
    return `one stage at a time: \`qmtl world apply WORLD --run ID --to ${next}\` comes first`;
  }
  return HINTS[reason];
}

/** Messages of the contracts' rules about a field, and how to put them for people. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/must be at least 1 characters/, "must not be empty"],
  [
    /does not match regex pattern `\^\[a-z0-9\]\[a-z0-9_-\]\{0,62\}\$`/,
    "takes lower-case letters, digits, _ and -: at most 63 characters, the first a letter or digit",
  ],
];

const inWords = (text: string): string =>
  WORDS.reduce((told, [from, to]) => told.replaceAll(new RegExp(from, "g"), to), text);

/** The message and one line per field, without repetition: a message that only repeats its fields is left out. */
function printFields(
  message: string,
  fields: readonly { readonly field: string; readonly description: string }[],
): { readonly message: string; readonly lines: readonly string[] } {
  const told = fields.map(({ field, description }) => {
    const text = inWords(description.replace(/^[A-Z][A-Z_]+: /, ""));
    return { field, text, line: `${field}: ${text}` };
  });
  const words = inWords(systemWords(message));
  const rest = told.reduce(
    (left, { field, text }) => left.replace(text, "").replace(field, ""),
    words,
  );
  const lines = told.map(({ line }) => line);
  if (lines.length === 0 || /\p{L}/u.test(rest)) return { message: words, lines };
  return lines.length === 1
    ? { message: words, lines: [] }
    : { message: `${lines.length} problems were found`, lines };
}

/** An error of the system with the file first: `ENOENT: no such file or directory, open 'x'` is `x: no such file …`. */
function systemWords(message: string): string {
  const [, words, path] = /^E[A-Z0-9]+: ([^,\n]+), [a-z]+ '([^'\n]+)'$/.exec(message) ?? [];
  return path === undefined ? message : `${path}: ${words}`;
}

/** Fields of an error that JSON output carries where they exist: where in a file the fault is, details for programs. */
const PLACE = ["metadata", "file", "line", "column", "value", "issues"] as const;

function placeOf(error: Error): Record<string, unknown> {
  const found = PLACE.filter((name) => name in error);
  return Object.fromEntries(found.map((name) => [name, Reflect.get(error, name)]));
}
