import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { clearField, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import {
  FieldDescriptorProtoSchema as FIELD,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const buf = fileURLToPath(new URL("../../../../node_modules/.bin/buf", import.meta.url));

/** The descriptor that `buf build` makes from our copy of a file. */
async function built(path: string): Promise<FileDescriptorProto> {
  const { stdout } = await promisify(execFile)(
    buf,
    [
      "build",
      ".",
      "--path",
      `proto/${path}`,
      "--as-file-descriptor-set",
      "--exclude-source-info",
      "-o",
      "-",
    ],
    { cwd: root, encoding: "buffer", maxBuffer: 16 * 1024 * 1024 },
  );
  const file = fromBinary(FileDescriptorSetSchema, stdout).file.find(({ name }) => name === path);
  if (file === undefined) throw new Error(`${path} is not in the image`);
  return file;
}

test("our copy of validate.proto is the descriptor protovalidate carries", {
  timeout: 60_000,
}, async () => {
  const ours = withoutJsonNames(await built("buf/validate/validate.proto"));
  const theirs = withoutJsonNames(file_buf_validate_validate.proto);

  // First as JSON, which shows the fields that differ. The bytes also hold the rules: options that descriptor.proto
  // does not know.
  expect(toJson(FileDescriptorProtoSchema, ours)).toEqual(
    toJson(FileDescriptorProtoSchema, theirs),
  );
  const bytes = (file: FileDescriptorProto) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file));
  expect(bytes(ours).equals(bytes(theirs))).toBe(true);
});

/** Generated code leaves out the JSON names that follow from the field names. */
function withoutJsonNames(file: FileDescriptorProto): FileDescriptorProto {
  const clear = (messages: FileDescriptorProto["messageType"]) => {
    for (const message of messages) {
      for (const field of [...message.field, ...message.extension]) {
        clearField(field, FIELD.field.jsonName);
      }
      clear(message.nestedType);
    }
  };
  clear(file.messageType);
  for (const field of file.extension) clearField(field, FIELD.field.jsonName);
  return file;
}
