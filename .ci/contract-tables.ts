// What is derived from the contracts and committed: the methods a client may repeat, the table of all methods, and the
// list of who may call what. `npm run gen` writes the first two; `npm run verify` fails when one of the three differs
// from the contracts. Only `npm run approve-access` writes who may call, so that a person looks at it.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import {
  accessOption,
  type Contracts,
  commentOf,
  readContracts,
  rightName,
  roleName,
  rolesText,
} from "./read-contracts.ts";

const levels: Readonly<Record<number, string>> = {
  [MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS]: "reads",
  [MethodOptions_IdempotencyLevel.IDEMPOTENT]: "idempotent",
};

const isRepeatable = ({ idempotency }: DescMethod): boolean => levels[idempotency] !== undefined;

/** Streams that their readers reopen themselves, from where they left off and after a delay of their own. */
const resumedStreams: readonly string[] = [
  "qmtl.data.v1.QueueDataService/Consume",
  "qmtl.gateway.v1.ControlStreamService/Subscribe",
  "qmtl.system.v1.OutboxService/WatchEvents",
];

/** `sdk-ts/sdk/src/rpc/repeatable-methods.ts`: what a transport may send again. */
function repeatableMethods({ services }: Contracts): string {
  const paths = services
    .flatMap(({ methods }) => methods)
    .filter(isRepeatable)
    .filter(({ parent, name }) => !resumedStreams.includes(`${parent.typeName}/${name}`))
    .map(({ parent, name }) => `  "${parent.typeName}/${name}",\n`);
  return `// Made by \`npm run gen\` from \`idempotency_level\` in proto/; not to be edited.

/** Methods that do no harm when they arrive twice: a transport repeats them on UNAVAILABLE. */
export const REPEATABLE_METHODS: readonly string[] = [
${paths.join("")}];
`;
}

const has = (method: DescMethod, field: string): string =>
  method.input.fields.some(({ name }) => name === field) ? "yes" : "–";

function errorsOf(method: DescMethod): string {
  const words = commentOf(method).match(/\b[A-Z][A-Z0-9_]{4,}\b/g) ?? [];
  const reasons = [...new Set(words)].filter((word) => Object.hasOwn(Reason, word));
  return reasons.length === 0 ? "–" : reasons.join(", ");
}

function rowOf(method: DescMethod): string {
  const option = accessOption(method);
  const who = option === undefined ? "nobody" : rolesText(option);
  const rights = option?.tickets.map(rightName).join(" or ") ?? "";
  const exempt = option?.exempt ? `; not from ${roleName(option.exempt)} on` : "";
  return `| ${[
    method.name,
    option?.internal === true ? `${who} (internal)` : who,
    rights === "" ? "–" : `${rights}${exempt}`,
    levels[method.idempotency] ?? "not repeatable",
    has(method, "request_id"),
    has(method, "etag"),
    errorsOf(method),
  ].join(" | ")} |`;
}

/** `docs/rpc.md`: one row per method. */
function methodTable({ services }: Contracts): string {
  const parts = services.map((service) => {
    // Its first paragraph, whole; what follows is the table, which this page has in full.
    const [about = ""] = commentOf(service).split(/\n\s*(?:\n|\|)/);
    return `## ${service.typeName}

${about.trim().replace(/\s+/g, " ")}

| method | roles | ticket | repeated | request id | etag | reasons named |
| --- | --- | --- | --- | --- | --- | --- |
${service.methods.map(rowOf).join("\n")}
`;
  });
  return `# Every method

Made by \`npm run gen\` from the contracts in \`proto/\`; not to be edited. "roles" is the lowest role that may call (owner includes operator,
operator includes researcher, researcher includes viewer; adapter and gateway stand apart). "internal" methods are served on the services' own
ports only. "ticket" is the right the request's ticket must carry. Besides the reasons named, every method may answer INVALID_FIELD,
ROLE_REQUIRED, SCHEMA_VERSION_UNSUPPORTED, FEATURE_NOT_BUILT and the outages of \`Reason\` 160–179.

${parts.join("\n")}`;
}

/** `proto/access.txt`: who may call, one line per method. */
function accessList({ services }: Contracts): string {
  const lines = services
    .flatMap(({ methods }) => methods)
    .map((method) => {
      const option = accessOption(method);
      const who = option === undefined ? "nobody" : rolesText(option);
      const rights = option?.tickets.map(rightName).join("|") ?? "";
      return [
        `${method.parent.typeName}/${method.name}`,
        who,
        ...(rights === "" ? [] : [`ticket ${rights}`]),
        ...(option?.exempt ? [`no ticket from ${roleName(option.exempt)}`] : []),
        ...(option?.internal === true ? ["internal"] : []),
      ].join("  ");
    });
  return `${lines.join("\n")}\n`;
}

const generated = [
  { path: "sdk-ts/sdk/src/rpc/repeatable-methods.ts", make: repeatableMethods },
  { path: "docs/rpc.md", make: methodTable },
];
const accessPath = "proto/access.txt";
const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

const contracts = readContracts();
const [, , mode] = process.argv;
if (mode === "--check") {
  for (const { path, make } of generated) {
    if (read(path) === make(contracts)) continue;
    console.error(`${path} is not what proto/ says; run \`npm run gen\``);
    process.exitCode = 1;
  }
  const before = new Set(read(accessPath).split("\n"));
  const now = new Set(accessList(contracts).split("\n"));
  const gone = [...before].filter((line) => !now.has(line));
  const added = [...now].filter((line) => !before.has(line));
  if (gone.length + added.length > 0) {
    console.error("who may call has changed; look at each line, then `npm run approve-access`:");
    for (const line of gone) console.error(`- ${line}`);
    for (const line of added) console.error(`+ ${line}`);
    process.exitCode = 1;
  }
} else if (mode === "--approve") {
  writeFileSync(accessPath, accessList(contracts));
} else {
  for (const { path, make } of generated) writeFileSync(path, make(contracts));
}
