import {
  create,
  createFileRegistry,
  type DescMessage,
  type Message,
  setExtension,
  toJson,
} from "@bufbuild/protobuf";
import {
  EnumDescriptorProtoSchema,
  EnumValueOptionsSchema,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
} from "@bufbuild/protobuf/wkt";
import { planned, planned_value, since_version } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { checkMarks, contractMarks, plannedNames, withoutLaterFields } from "./contract-marks.ts";

const { MESSAGE, STRING, ENUM } = FieldDescriptorProto_Type;

interface FieldSketch {
  readonly name: string;
  readonly type?: FieldDescriptorProto_Type;
  readonly of?: string;
  readonly isList?: boolean;
  readonly isPlanned?: boolean;
  readonly since?: number;
}

function field(sketch: FieldSketch, index: number): FieldDescriptorProto {
  const options = create(FieldOptionsSchema);
  if (sketch.isPlanned === true) setExtension(options, planned, true);
  if (sketch.since !== undefined) setExtension(options, since_version, sketch.since);
  return create(FieldDescriptorProtoSchema, {
    name: sketch.name,
    jsonName: sketch.name,
    number: index + 1,
    type: sketch.type ?? STRING,
    typeName: sketch.of === undefined ? "" : `.qmtl.test.${sketch.of}`,
    label:
      sketch.isList === true
        ? FieldDescriptorProto_Label.REPEATED
        : FieldDescriptorProto_Label.OPTIONAL,
    options,
  });
}

/** A contract of its own: an order with a leg that is planned, a tree, and a field of version 2. */
function testContract(): (name: string) => DescMessage {
  const plannedOption = create(EnumValueOptionsSchema);
  setExtension(plannedOption, planned_value, true);
  const file = create(FileDescriptorProtoSchema, {
    name: "qmtl/test/marks.proto",
    package: "qmtl.test",
    syntax: "proto3",
    enumType: [
      create(EnumDescriptorProtoSchema, {
        name: "Kind",
        value: [
          { name: "KIND_UNSPECIFIED", number: 0 },
          { name: "KIND_NOW", number: 1 },
          { name: "KIND_LATER", number: 2, options: plannedOption },
        ],
      }),
    ],
    messageType: [
      {
        name: "Order",
        field: [
          { name: "id" },
          { name: "kind", type: ENUM, of: "Kind" },
          { name: "exit", isPlanned: true },
          { name: "legs", type: MESSAGE, of: "Order", isList: true },
          { name: "alpha", since: 2 },
        ].map(field),
      },
      { name: "Plain", field: [{ name: "id" }].map(field) },
    ],
  });
  const registry = createFileRegistry(file, () => undefined);
  return (name) => registry.getMessage(`qmtl.test.${name}`)!;
}

const descOf = testContract();
const Order = descOf("Order");
const marks = contractMarks(Order);

function order(fields: Record<string, unknown>): Message {
  return create(Order, fields);
}

function refusalOf(run: () => void): QmtlError | undefined {
  try {
    run();
    return undefined;
  } catch (failure) {
    if (failure instanceof QmtlError) return failure;
    throw failure;
  }
}

test("a message without marks costs nothing to check", () => {
  expect(contractMarks(descOf("Plain")).fields).toEqual([]);
});

test("a planned field that is left out is no refusal", () => {
  expect(refusalOf(() => checkMarks(marks, order({ id: "a", kind: 1 }), 1))).toBeUndefined();
});

test("a planned field that is set is refused by its full name, however deep it lies", () => {
  const deep = order({ legs: [order({ id: "b" }), order({ exit: "stop" })] });
  const refusal = refusalOf(() => checkMarks(marks, deep, 1));

  expect(refusal).toMatchObject({
    reason: "FEATURE_NOT_BUILT",
    metadata: { feature: "qmtl.test.Order.exit" },
    fields: [{ field: "legs[1].exit" }],
  });
});

test("a planned value of an enum is refused by its name", () => {
  expect(refusalOf(() => checkMarks(marks, order({ kind: 2 }), 1))).toMatchObject({
    reason: "FEATURE_NOT_BUILT",
    metadata: { feature: "qmtl.test.KIND_LATER" },
    fields: [{ field: "kind" }],
  });
});

test("a field of a later schema version than the request accepts is invalid, and of its own version is not", () => {
  const request = order({ alpha: "x" });

  expect(refusalOf(() => checkMarks(marks, request, 1))).toMatchObject({
    reason: "INVALID_FIELD",
    fields: [{ field: "alpha" }],
  });
  expect(refusalOf(() => checkMarks(marks, request, 2))).toBeUndefined();
});

test("an answer in a lower version leaves later fields out, and the handler's own message as it is", () => {
  const answer = order({ id: "a", alpha: "x", legs: [order({ alpha: "y", id: "b" })] });
  const old = withoutLaterFields(Order, answer, 1);

  expect(toJson(Order, old)).toEqual({ id: "a", legs: [{ id: "b" }] });
  expect(answer).toMatchObject({ alpha: "x", legs: [{ alpha: "y" }] });
  expect(withoutLaterFields(Order, answer, 2)).toBe(answer);
});

test("the names of what is planned are complete and sorted", () => {
  expect(plannedNames(Order)).toEqual(["qmtl.test.KIND_LATER", "qmtl.test.Order.exit"]);
});
