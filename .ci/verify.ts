// The static checks, in the order in which they fail fastest. `npm run verify -- --only lint,types` runs some.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

const checks: readonly Check[] = [
  { name: "one protobuf runtime", command: ["node", ".ci/one-protobuf.ts"] },
  { name: "buf-lint", command: ["buf", "lint"] },
  {
    name: "buf-format",
    command: ["buf", "format", "--diff", "--exit-code", "--path", "proto/qmtl"],
  },
  { name: "buf-breaking", command: ["buf", "breaking", "--against", "proto/baseline.binpb"] },
  { name: "generated code", command: ["node", ".ci/gen-drift.ts"] },
  {
    name: "contract tables",
    command: ["node", "--conditions=@qmtl/source", ".ci/contract-tables.ts", "--check"],
  },
  {
    name: "contract rules",
    command: ["node", "--conditions=@qmtl/source", ".ci/check-contracts.ts"],
  },
  { name: "types", command: ["tsc", "-p", "tsconfig.json"] },
  { name: "biome", command: ["biome", "ci", ".", "--colors=off"] },
  { name: "eslint", command: ["eslint", "."] },
  { name: "import law", command: ["node", ".ci/import-law.ts"] },
  {
    name: "seeded faults",
    command: ["node", "--conditions=@qmtl/source", ".ci/seeded-faults.ts"],
  },
];

const onlyAt = process.argv.indexOf("--only");
const only = onlyAt > 0 ? (process.argv[onlyAt + 1] ?? "").split(",") : undefined;
const failed: string[] = [];
for (const check of checks) {
  if (only && !only.some((part) => check.name.includes(part))) continue;
  const script = check.command.find((word) => word.startsWith(".ci/"));
  if (script !== undefined && !existsSync(script)) throw new Error(`missing ${script}`);
  const started = process.hrtime.bigint();
  const [program = "", ...args] = check.command;
  const run = spawnSync(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const seconds = Number((process.hrtime.bigint() - started) / 1_000_000n) / 1000;
  const ok = run.status === 0;
  console.log(`${ok ? "ok  " : "FAIL"} ${check.name} (${seconds.toFixed(1)} s)`);
  if (ok) continue;
  failed.push(check.name);
  console.log(`${run.stdout ?? ""}${run.stderr ?? ""}${run.error ?? ""}`.trim());
}
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(", ")}`);
  process.exit(1);
}
