import { readFileSync } from "node:fs";
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { CommandError } from "./exit-codes.ts";

/** The text of a file named on the command line. Usage error when it cannot be read. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CommandError(`cannot read ${path}: ${messageOf(cause)}`);
  }
}

/** The JSON of a file named on the command line. Usage error when it cannot be read or is none. */
export function readJsonFile(path: string): JsonValue {
  const text = readTextFile(path);
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new CommandError(`${path} is not JSON: ${messageOf(cause)}`);
  }
}

/** A message in proto3 JSON. Usage error that names file and fault. */
export function messageFromJson<D extends DescMessage>(
  schema: D,
  json: JsonValue,
  path: string,
): MessageShape<D> {
  try {
    return fromJson(schema, json);
  } catch (cause) {
    throw new CommandError(
      `${path} holds no ${schema.name}: ${messageOf(cause)}`,
      undefined,
      `write ${schema.typeName} as proto3 JSON`,
    );
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
