import { create } from "@bufbuild/protobuf";
import {
  type FieldDescriptorProto_Label,
  type FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";

const PACKAGE = "grpc.health.v1";

function field(
  name: string,
  number: number,
  type: FieldDescriptorProto_Type,
  typeName = "",
  label: FieldDescriptorProto_Label = Label.OPTIONAL,
) {
  return { name, number, type, typeName, label, jsonName: name };
}

const method = (name: string, request: string, response: string, serverStreaming = false) => ({
  name,
  inputType: `.${PACKAGE}.${request}`,
  outputType: `.${PACKAGE}.${response}`,
  serverStreaming,
});

/**
 * Descriptor of `grpc/health/v1/health.proto`, for reflection. The one that grpc-health-check carries was made
 * by protobufjs, with relative type names and a misnamed map entry: strict clients refuse it.
 */
export const healthDescriptor: FileDescriptorProto = create(FileDescriptorProtoSchema, {
  name: "grpc/health/v1/health.proto",
  package: PACKAGE,
  syntax: "proto3",
  messageType: [
    { name: "HealthCheckRequest", field: [field("service", 1, Type.STRING)] },
    {
      name: "HealthCheckResponse",
      field: [field("status", 1, Type.ENUM, `.${PACKAGE}.HealthCheckResponse.ServingStatus`)],
      enumType: [
        {
          name: "ServingStatus",
          value: ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"].map((name, number) => ({
            name,
            number,
          })),
        },
      ],
    },
    { name: "HealthListRequest" },
    {
      name: "HealthListResponse",
      field: [
        field(
          "statuses",
          1,
          Type.MESSAGE,
          `.${PACKAGE}.HealthListResponse.StatusesEntry`,
          Label.REPEATED,
        ),
      ],
      nestedType: [
        {
          name: "StatusesEntry",
          options: { mapEntry: true },
          field: [
            field("key", 1, Type.STRING),
            field("value", 2, Type.MESSAGE, `.${PACKAGE}.HealthCheckResponse`),
          ],
        },
      ],
    },
  ],
  service: [
    {
      name: "Health",
      method: [
        method("Check", "HealthCheckRequest", "HealthCheckResponse"),
        method("List", "HealthListRequest", "HealthListResponse"),
        method("Watch", "HealthCheckRequest", "HealthCheckResponse", true),
      ],
    },
  ],
});
