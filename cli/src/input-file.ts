import { closeSync, openSync, readSync } from "node:fs";
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { CommandError } from "./exit-codes.ts";

/** Largest file that is read whole, bytes. */
const fileBytesMax = 64 * 1024 * 1024;
const pieceBytes = 1024 * 1024;

/** The text of a file named on the command line. Usage error when it cannot be read, or is larger than 64 MiB. */
export function readTextFile(path: string): string {
  let text: string | undefined;
  try {
    text = readUpTo(path, fileBytesMax)?.toString("utf8");
  } catch (cause) {
    throw new CommandError(`cannot read ${path}: ${messageOf(cause)}`);
  }
  if (text === undefined)
    throw new CommandError(`cannot read ${path}: it is larger than ${fileBytesMax} bytes`);
  return text;
}

/**
 * The bytes of a file, a pipe or a device; undefined when there are more than `bytesMax`: it then stops reading within
 * the next MiB.
 *
 * @param file path, or 0 for standard input
 */
export function readUpTo(file: string | 0, bytesMax: number): Buffer | undefined {
  const descriptor = file === 0 ? 0 : openSync(file, "r");
  try {
    const pieces: Buffer[] = [];
    const piece = Buffer.allocUnsafe(pieceBytes);
    for (let have = 0; have <= bytesMax; ) {
      const length = readSync(descriptor, piece);
      if (length === 0) return Buffer.concat(pieces, have);
      pieces.push(Buffer.from(piece.subarray(0, length)));
      have += length;
    }
    return undefined;
  } finally {
    if (file !== 0) closeSync(descriptor);
  }
}

/** The JSON of a file named on the command line. Usage error when the file cannot be read or is not JSON. */
export function readJsonFile(path: string): JsonValue {
  const text = readTextFile(path);
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new CommandError(`${path} is not JSON: ${messageOf(cause)}`);
  }
}

/** A message from proto3 JSON. Usage error that names the file and what is wrong. */
export function messageFromJson<D extends DescMessage>(
  schema: D,
  json: JsonValue,
  path: string,
): MessageShape<D> {
  try {
    return fromJson(schema, json);
  } catch (cause) {
    throw new CommandError(
      `${path} does not contain a ${schema.name}: ${messageOf(cause)}`,
      undefined,
      `write ${schema.typeName} as proto3 JSON`,
    );
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
