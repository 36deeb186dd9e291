// Plants one fault per rule of the import law, of the typed linter and of the contracts, and fails unless each is
// caught: a rule nobody has seen fail is not a rule.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { contractFaultCount, missedContractFaults } from "./seeded-contracts.ts";
import { removeSeededRooms, roomFaults } from "./seeded-rooms.ts";

interface Fault {
  readonly rule: string;
  readonly tool: "depcruise" | "eslint" | "biome";
  readonly file: string;
  readonly text: string;
}

const faults: readonly Fault[] = [
  {
    rule: "only-the-module-knows-the-messages-of-orders",
    tool: "depcruise",
    file: "services/gateway/src/orders/seeded-fault-p.ts",
    text: 'export type * from "./rpc/order-messages.ts";\n',
  },
  {
    rule: "nothing-inside-knows-the-order-module",
    tool: "depcruise",
    file: "services/gateway/src/orders/seeded-fault-q.ts",
    text: 'export type * from "./module.ts";\n',
  },
  {
    rule: "services-do-not-import-each-other",
    tool: "depcruise",
    file: "services/dag-manager/src/seeded-fault-a.ts",
    text: 'export * from "@qmtl/gateway";\n',
  },
  {
    rule: "kit-knows-no-service",
    tool: "depcruise",
    file: "services/kit/src/seeded-fault-b.ts",
    text: 'export * from "../../gateway/src/index.ts";\n',
  },
  {
    rule: "sdk-knows-no-service",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/seeded-fault-c.ts",
    text: 'export * from "../../../services/kit/src/index.ts";\n',
  },
  {
    rule: "only-the-embedded-root-knows-all-services",
    tool: "depcruise",
    file: "cli/src/seeded-fault-d.ts",
    text: 'export * from "../../services/gateway/src/index.ts";\n',
  },
  {
    rule: "numbers-stand-alone",
    tool: "depcruise",
    file: "sdk-ts/core/src/nodes/seeded-fault-e.ts",
    text: 'export * from "../gate/index.ts";\n',
  },
  {
    rule: "pure-cores-stand-alone",
    tool: "depcruise",
    file: "sdk-ts/core/src/gate/seeded-fault-f.ts",
    text: 'export * from "@qmtl/sdk/rpc";\n',
  },
  {
    rule: "services-use-the-sdk-by-its-entries",
    tool: "depcruise",
    file: "services/gateway/src/seeded-fault-g.ts",
    text: 'export * from "@qmtl/sdk";\n',
  },
  ...roomFaults,
  {
    rule: "examples-use-the-sdk-only",
    tool: "depcruise",
    file: "examples/demo/seeded-fault-h.ts",
    text: 'export * from "../../services/kit/src/index.ts";\n',
  },
  {
    rule: "e2e-sees-the-wire",
    tool: "depcruise",
    file: "e2e/src/seeded-fault-i.ts",
    text: 'export * from "../../services/kit/src/index.ts";\n',
  },
  {
    rule: "no-cycles",
    tool: "depcruise",
    file: "cli/src/seeded-fault-j.ts",
    text: 'import * as self from "./seeded-fault-j2.ts";\nexport const a = self;\n',
  },
  {
    rule: "a-strategy-is-loaded-without-running-it",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/strategy-loading/seeded-fault-p.ts",
    text: 'export * from "../offline/run-offline.ts";\n',
  },
  {
    rule: "offline-and-online-stand-apart",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/online/seeded-fault-q.ts",
    text: 'export * from "../offline/run-offline.ts";\n',
  },
  {
    rule: "runs-know-no-recording-and-no-runner",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/offline/seeded-fault-r.ts",
    text: 'export * from "../session-record/session-record.ts";\n',
  },
  {
    rule: "rooms-of-an-online-run-know-no-whole",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/online/orders/seeded-fault-s.ts",
    text: 'export * from "../run-parts.ts";\n',
  },
  {
    rule: "an-online-session-knows-no-queue",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/online/session/seeded-fault-t.ts",
    text: 'export * from "../log/queue-replica.ts";\n',
  },
  {
    rule: "the-log-knows-no-computation",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/online/log/seeded-fault-u.ts",
    text: 'export * from "../compute/clocks.ts";\n',
  },
  {
    rule: "computation-knows-no-orders",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/online/compute/seeded-fault-v.ts",
    text: 'export * from "../orders/target-sender.ts";\n',
  },
  {
    rule: "no-circles-of-types-in-the-runner",
    tool: "depcruise",
    file: "sdk-ts/sdk/src/runner/seeded-fault-w.ts",
    text: 'import type { Other } from "./seeded-fault-w2.ts";\nexport type Own = Other | 1;\n',
  },
  {
    rule: "no-restricted-syntax",
    tool: "eslint",
    file: "services/dag-manager/src/swap/seeded-sql.ts",
    text: `import type { Queryable } from "@qmtl/service-kit/db";

export const seeded = (db: Queryable) => db.query("select 1 as one", []);
`,
  },
  {
    rule: "@typescript-eslint/no-floating-promises",
    tool: "eslint",
    file: "sdk-ts/sdk/src/rpc/seeded-fault-k.ts",
    text: 'import { createClient, type Transport } from "@connectrpc/connect";\nimport { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";\nexport function forgotten(transport: Transport): void {\n  createClient(GatewayService, transport).submitStrategy({});\n}\n',
  },
  {
    rule: "@typescript-eslint/no-misused-promises",
    tool: "eslint",
    file: "sdk-ts/sdk/src/rpc/seeded-fault-l.ts",
    text: "const later = async (): Promise<boolean> => true;\nexport const misused = (): number => (later() ? 1 : 2);\n",
  },
  {
    rule: "@typescript-eslint/switch-exhaustiveness-check",
    tool: "eslint",
    file: "sdk-ts/sdk/src/rpc/seeded-fault-m.ts",
    text: 'export function half(gate: "open" | "shut"): void {\n  switch (gate) {\n    case "open":\n      return;\n  }\n}\n',
  },
  {
    rule: "noConsole",
    tool: "biome",
    file: "services/kit/src/seeded-fault-n.ts",
    text: 'console.log("left in");\n',
  },
  {
    rule: "noDefaultExport",
    tool: "biome",
    file: "services/kit/src/seeded-fault-o.ts",
    text: "export default 1;\n",
  },
  {
    rule: "useFilenamingConvention",
    tool: "biome",
    file: "services/kit/src/seededFault.ts",
    text: "export const one = 1;\n",
  },
];
const partners = [
  {
    file: "cli/src/seeded-fault-j2.ts",
    text: 'import * as other from "./seeded-fault-j.ts";\nexport const b = other;\n',
  },
  {
    file: "sdk-ts/sdk/src/runner/seeded-fault-w2.ts",
    text: 'import type { Own } from "./seeded-fault-w.ts";\nexport type Other = Own | 2;\n',
  },
];
const all = [...faults, ...partners];

const lines = (program: string, args: readonly string[]): string[] => {
  const run = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  return `${run.stdout}${run.stderr}`.split("\n");
};

try {
  for (const fault of all) {
    mkdirSync(dirname(fault.file), { recursive: true });
    writeFileSync(fault.file, fault.text);
  }
  const of = (tool: Fault["tool"]): string[] =>
    faults.filter((fault) => fault.tool === tool).map((fault) => fault.file);
  const cruise = spawnSync(
    "depcruise",
    ["--output-type", "json", ...all.map((fault) => fault.file)],
    { encoding: "utf8", maxBuffer: 1 << 28 },
  );
  const violations = (
    JSON.parse(cruise.stdout) as {
      summary: { violations: { rule: { name: string }; from: string }[] };
    }
  ).summary.violations;
  const eslint = lines("eslint", ["--format", "json", ...of("eslint")]).join("");
  const biome = lines("biome", ["lint", "--max-diagnostics=200", ...of("biome")]).join("\n");
  const missed = faults.filter((fault) => {
    if (fault.tool === "depcruise")
      return !violations.some(
        (found) => found.rule.name === fault.rule && found.from === fault.file,
      );
    return !(fault.tool === "eslint" ? eslint : biome).includes(fault.rule);
  });
  for (const fault of missed) console.error(`${fault.rule} did not catch ${fault.file}`);
  const missedInContracts = missedContractFaults();
  for (const text of missedInContracts) console.error(text);
  if (missed.length + missedInContracts.length > 0) process.exitCode = 1;
  else console.log(`${faults.length + contractFaultCount} seeded faults, each caught`);
} finally {
  for (const fault of all) rmSync(fault.file, { force: true });
  removeSeededRooms();
}
