import { create, createFileRegistry, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { Connection } from "@qmtl/sdk/rpc";
import { healthDescriptor } from "./health-descriptor.ts";

/** What a server reports about itself by `grpc.health.v1.Health/List`: each name, and whether it serves. */
export async function readHealth(
  connection: Pick<Connection, "transport">,
  timeoutMs: number,
): Promise<Map<string, boolean>> {
  const files = create(FileDescriptorSetSchema, { file: [healthDescriptor] });
  const list = createFileRegistry(files)
    .getService("grpc.health.v1.Health")
    ?.methods.find(({ name }) => name === "List");
  if (list?.methodKind !== "unary") throw new Error("the health service has a method List");
  const { transport } = connection;
  const method = { ...list, methodKind: "unary" as const };
  const { message } = await transport.unary(method, undefined, timeoutMs, undefined, {});
  return statusesOf(toJson(method.output, message));
}

function statusesOf(answer: unknown): Map<string, boolean> {
  const known = new Map<string, boolean>();
  if (typeof answer !== "object" || answer === null || !("statuses" in answer)) return known;
  const { statuses } = answer;
  if (typeof statuses !== "object" || statuses === null) return known;
  for (const [name, one] of Object.entries(statuses)) {
    const isObject = typeof one === "object" && one !== null && "status" in one;
    known.set(name, isObject && one.status === "SERVING");
  }
  return known;
}
