// The static checks, in the order in which they fail fastest.
//
//   npm run verify                          all of them
//   npm run verify -- --only lint,types     those whose name holds one of the words
//   npm run verify -- --changed [COMMIT]    those that can fail because of files changed since the commit (default:
//                                           HEAD), on these files alone where a check allows it
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";

interface Check {
  readonly name: string;
  readonly command: readonly string[];
  /** Files whose change can make it fail. */
  readonly looksAt: RegExp;
  /** It can check the changed files alone; they then replace the last word of the command. */
  readonly takesFiles?: boolean;
}

const code = /\.(ts|mts|js|mjs|cjs)$/;
const manifests = /(^|\/)package(-lock)?\.json$/;
const contracts = /^proto\/|^gen\/|^buf.*\.yaml$|^\.ci\//;

const checks: readonly Check[] = [
  {
    name: "one protobuf runtime",
    command: ["node", ".ci/one-protobuf.ts"],
    looksAt: manifests,
  },
  { name: "buf-lint", command: ["buf", "lint"], looksAt: contracts },
  {
    name: "buf-format",
    command: ["buf", "format", "--diff", "--exit-code", "--path", "proto/qmtl"],
    looksAt: contracts,
  },
  {
    name: "buf-breaking",
    command: ["buf", "breaking", "--against", "proto/baseline.binpb"],
    looksAt: contracts,
  },
  { name: "generated code", command: ["node", ".ci/gen-drift.ts"], looksAt: contracts },
  {
    name: "contract tables",
    command: ["node", ".ci/contract-tables.ts", "--check"],
    looksAt: contracts,
  },
  {
    name: "contract rules",
    command: ["node", ".ci/check-contracts.ts"],
    looksAt: contracts,
  },
  {
    name: "types",
    command: ["tsc", "-p", "tsconfig.json"],
    looksAt: /\.ts$|tsconfig|package\.json$/,
  },
  {
    name: "biome",
    command: ["biome", "ci", "--colors=off", "--no-errors-on-unmatched", "."], // changed files may all be ones it ignores
    looksAt: /\.(ts|mts|js|mjs|cjs|json)$/,
    takesFiles: true,
  },
  { name: "eslint", command: ["eslint", "."], looksAt: /\.ts$/, takesFiles: true },
  { name: "import law", command: ["node", ".ci/import-law.ts"], looksAt: code },
  {
    name: "unused code",
    command: ["knip", "--no-progress"],
    looksAt: /\.ts$|package\.json$|^knip\.json$/,
  },
  {
    name: "seeded faults",
    command: ["node", ".ci/seeded-faults.ts"],
    looksAt: /^\.ci\/|^\.dependency-cruiser\.cjs$|^eslint\.config\.js$|^biome\.json$/,
  },
];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string" }, changed: { type: "boolean", default: false } },
});
const words = options.only?.split(",");
const changed = options.changed ? changedFiles(positionals[0] ?? "HEAD") : undefined;
const failed: string[] = [];
for (const check of checks) {
  if (words && !words.some((word) => check.name.includes(word))) continue;
  const files = changed?.filter((file) => check.looksAt.test(file));
  if (files?.length === 0) continue;
  const script = check.command.find((word) => word.startsWith(".ci/"));
  if (script !== undefined && !existsSync(script)) throw new Error(`missing ${script}`);
  const started = process.hrtime.bigint();
  const run = runCheck(check, files);
  const seconds = Number((process.hrtime.bigint() - started) / 1_000_000n) / 1000;
  const ok = run.status === 0;
  console.log(`${ok ? "ok  " : "FAIL"} ${check.name} (${seconds.toFixed(1)} s)`);
  if (ok) continue;
  failed.push(check.name);
  console.log(`${run.stdout}${run.stderr}${run.error ?? ""}`.trim());
}
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(", ")}`);
  process.exit(1);
}

function runCheck({ command, takesFiles }: Check, files: readonly string[] | undefined) {
  const narrowed =
    takesFiles && files !== undefined ? [...command.slice(0, -1), ...files] : command;
  const [program = "", ...args] = narrowed;
  return spawnSync(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
}

/** Files that differ from a commit and are still there, new ones included. */
function changedFiles(commit: string): string[] {
  const listed = [
    ["diff", "--name-only", "--diff-filter=d", commit],
    ["ls-files", "--others", "--exclude-standard"],
  ].flatMap((args) => {
    const { status, stdout, stderr } = spawnSync("git", args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`git ${args.join(" ")}: ${stderr}`);
    return stdout.split("\n").filter((file) => file !== "");
  });
  return [...new Set(listed)];
}
