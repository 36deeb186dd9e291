// One fault per rule of .ci/contract-rules.ts, planted beside the contracts: a rule nobody has seen fail is not a rule.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brokenRules, ruleNames } from "./contract-rules.ts";

const header = `syntax = "proto3";

package qmtl.seeded.v1;

import "buf/validate/validate.proto";
import "google/api/field_behavior.proto";
import "qmtl/type/v1/access.proto";
import "qmtl/type/v1/schema_version.proto";

enum Sound {
  SOUND_UNSPECIFIED = 0;
}

message SoundRequest {
  qmtl.type.v1.VersionRange schema_version = 1;
  string ticket = 2 [(buf.validate.field).string.max_len = 9];
  Sound sound = 3 [(buf.validate.field).enum.defined_only = true];
  repeated Sound sounds = 4 [(buf.validate.field).repeated.items.enum.defined_only = true];
  Sound answered = 5 [(google.api.field_behavior) = OUTPUT_ONLY];
  repeated int64 bucket_end_ms = 6;
  string code = 7 [(buf.validate.field).string.pattern = "^[a-z]{1,9}$"];
  repeated bytes parts = 8 [(buf.validate.field).repeated.items.bytes.max_len = 9];
  map<string, uint32> counts = 9 [(buf.validate.field).map.keys.string.max_len = 9];
  string told = 10 [(google.api.field_behavior) = OUTPUT_ONLY];
}

message Request {
  qmtl.type.v1.VersionRange schema_version = 1;
}

message Response {
  qmtl.type.v1.SchemaVersion schema_version = 1;
}
`;

/** A service with one method; the arguments hold all that the rules ask for, or leave out what a fault is about. */
function service(name: string, row: string, method: string, options: string): string {
  return `
// Planted.
//
// | method | role | ticket |
// | ------ | ---- | ------ |
${row}
service ${name} {
  rpc ${method} {
${options}
  }
}
`;
}

const read = "    option idempotency_level = NO_SIDE_EFFECTS;";
const change = "    option idempotency_level = IDEMPOTENT;";
const viewer = "    option (qmtl.type.v1.access) = {least: ROLE_VIEWER};";
const operator = "    option (qmtl.type.v1.access) = {least: ROLE_OPERATOR};";
const trader =
  "    option (qmtl.type.v1.access) = {least: ROLE_RESEARCHER, tickets: [TICKET_RIGHT_TRADE], exempt: ROLE_OPERATOR};";

/** Texts that may be of any length: the message, its field, and the field as it is written. */
const longTexts: readonly (readonly [message: string, field: string, text: string])[] = [
  ["LongName", "name", "string name = 2 [(buf.validate.field).string.min_len = 1]"],
  ["LongWord", "word", 'string word = 2 [(buf.validate.field).string.pattern = "^[a-z]+$"]'],
  ["LongBlob", "blob", "bytes blob = 2"],
  ["LongNote", "note", "string note = 2 [(qmtl.type.v1.max_text_bytes) = 1000]"],
  ["LongList", "names", "repeated string names = 2 [(buf.validate.field).repeated.max_items = 9]"],
  [
    "LongMap",
    "notes",
    "map<string, string> notes = 2 [(buf.validate.field).map.keys.string.max_len = 9]",
  ],
];

/** Rule, the full name it has to find, and the contract. */
const faults: readonly (readonly [rule: string, where: string, text: string])[] = [
  ["enum zero", "Zero", "\nenum Zero {\n  ZERO_RED = 0;\n}\n"],
  ["enum zero", "Outer.Zero", "\nmessage Outer {\n  enum Zero {\n    ZERO_RED = 0;\n  }\n}\n"],
  [
    "idempotency level",
    "LevelService/Change",
    service(
      "LevelService",
      "// | Change | operator | – |",
      "Change(Request) returns (Response)",
      operator,
    ),
  ],
  [
    "access",
    "AccessService/GetOne",
    service(
      "AccessService",
      "// | GetOne | viewer | – |",
      "GetOne(Request) returns (Response)",
      read,
    ),
  ],
  [
    "schema version",
    "LateRequest",
    `\nmessage LateRequest {\n  string name = 1 [(buf.validate.field).string.max_len = 9];\n  qmtl.type.v1.VersionRange schema_version = 2;\n}\n${service("LateService", "// | GetOne | viewer | – |", "GetOne(LateRequest) returns (Response)", `${read}\n${viewer}`)}`,
  ],
  [
    "schema version",
    "Request",
    service(
      "EchoService",
      "// | GetOne | viewer | – |",
      "GetOne(Request) returns (Request)",
      `${read}\n${viewer}`,
    ),
  ],
  [
    "ticket",
    "NeedService/Trade",
    service(
      "NeedService",
      "// | Trade | researcher; operator without | trade |",
      "Trade(Request) returns (Response)",
      `${change}\n${trader}`,
    ),
  ],
  [
    "ticket",
    "CarryService/Change",
    service(
      "CarryService",
      "// | Change | operator | – |",
      "Change(SoundRequest) returns (Response)",
      `${change}\n${operator}`,
    ),
  ],
  [
    "paging",
    "PageService/ListAll",
    service(
      "PageService",
      "// | ListAll | viewer | – |",
      "ListAll(Request) returns (Response)",
      `${read}\n${viewer}`,
    ),
  ],
  [
    "reading verb",
    "VerbService/GetOne",
    service(
      "VerbService",
      "// | GetOne | operator | – |",
      "GetOne(Request) returns (Response)",
      `${change}\n${operator}`,
    ),
  ],
  [
    "reading verb",
    "QuietService/Touch",
    service(
      "QuietService",
      "// | Touch | viewer | – |",
      "Touch(Request) returns (Response)",
      `${read}\n${viewer}`,
    ),
  ],
  [
    "viewer changes nothing",
    "ViewerService/Change",
    service(
      "ViewerService",
      "// | Change | viewer | – |",
      "Change(Request) returns (Response)",
      `${change}\n${viewer}`,
    ),
  ],
  [
    "bare session",
    "SessionService/Change",
    `\nmessage SessionRequest {\n  qmtl.type.v1.VersionRange schema_version = 1;\n  string session_id = 2 [(buf.validate.field).string.max_len = 9];\n}\n${service("SessionService", "// | Change | operator | – |", "Change(SessionRequest) returns (Response)", `${change}\n${operator}`)}`,
  ],
  [
    "closed enum",
    "OpenPart.sound",
    `\nmessage OpenPart {\n  Sound sound = 1;\n}\n\nmessage OpenRequest {\n  qmtl.type.v1.VersionRange schema_version = 1;\n  repeated OpenPart parts = 2;\n}\n${service("OpenService", "// | Change | operator | – |", "Change(OpenRequest) returns (Response)", `${change}\n${operator}`)}`,
  ],
  ...longTexts.map(
    ([message, field, text]) =>
      [
        "bounded text",
        `${message}.${field}`,
        `\nmessage ${message} {\n  qmtl.type.v1.VersionRange schema_version = 1;\n  ${text};\n}\n${service(`${message}Service`, "// | Change | operator | – |", `Change(${message}) returns (Response)`, `${change}\n${operator}`)}`,
      ] as const,
  ),
  [
    "time type",
    "WaitRequest.wait_ms",
    `\nmessage WaitRequest {\n  qmtl.type.v1.VersionRange schema_version = 1;\n  int64 wait_ms = 2;\n}\n${service("WaitService", "// | Change | operator | – |", "Change(WaitRequest) returns (Response)", `${change}\n${operator}`)}`,
  ],
  [
    "access table",
    "RoleService/Change",
    service(
      "RoleService",
      "// | Change | viewer | – |",
      "Change(Request) returns (Response)",
      `${change}\n${operator}`,
    ),
  ],
  [
    "access table",
    "RightService/Trade",
    service(
      "RightService",
      "// | Trade | researcher; operator without | compute |",
      "Trade(SoundRequest) returns (Response)",
      `${change}\n${trader}`,
    ),
  ],
  [
    "access table",
    "RowService",
    service(
      "RowService",
      "// | Other | operator | – |",
      "Change(Request) returns (Response)",
      `${change}\n${operator}`,
    ),
  ],
];

/** Keeps every rule: nothing may be found here. */
const sound = service(
  "SoundService",
  "// | Trade | researcher; operator without, owner for more | trade |",
  "Trade(SoundRequest) returns (Response)",
  `${change}\n${trader}`,
);

/** What is wrong with the rules: faults they miss, rules without a fault, and sound contracts they object to. */
export function missedContractFaults(): string[] {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-seeded-"));
  try {
    cpSync("buf.yaml", join(folder, "buf.yaml"));
    cpSync("proto", join(folder, "proto"), { recursive: true });
    const seeded = join(folder, "proto/qmtl/seeded/v1");
    mkdirSync(seeded, { recursive: true });
    const text = [header, sound, ...faults.map(([, , fault]) => fault)].join("");
    writeFileSync(join(seeded, "seeded.proto"), text);
    const found = brokenRules(folder);
    const isFound = (rule: string, name: string): boolean =>
      found.some((each) => each.rule === rule && each.where === `qmtl.seeded.v1.${name}`);
    return [
      ...faults
        .filter(([rule, where]) => !isFound(rule, where))
        .map(([rule, where]) => `contract rule "${rule}" did not catch ${where}`),
      ...ruleNames
        .filter((name) => !faults.some(([rule]) => rule === name))
        .map((name) => `contract rule "${name}" has no planted fault`),
      ...found
        .filter(({ where }) => where.startsWith("qmtl.seeded.v1.Sound"))
        .map(({ rule, where }) => `contract rule "${rule}" complains of ${where}, which is sound`),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export const contractFaultCount = faults.length;
