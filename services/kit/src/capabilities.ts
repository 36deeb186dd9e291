import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CapabilitiesSchema } from "@qmtl/contracts/qmtl/type/v1/schema_version_pb";
import type { ServedService } from "./handlers.ts";
import { type SchemaRangeOf, servedMethods } from "./rpc/served-method.ts";

export interface CapabilitiesOptions {
  services: readonly ServedService[];
  /** The same as the doors'. @default 1..1 */
  schemaRange?: SchemaRangeOf;
  /** Flags that are on, such as "compat_rebalance_v2". @default none */
  flags?: readonly string[];
  /** Such as "0.1.0". */
  serverVersion: string;
}

/** What GetCapabilities answers: ranges per contract, flags, and the methods whose handlers were left out; all sorted. */
export function capabilitiesOf(
  options: CapabilitiesOptions,
): MessageInitShape<typeof CapabilitiesSchema> {
  const methods = servedMethods(options.services, options.schemaRange);
  const ranges = new Map(methods.map(({ desc, range }) => [desc.parent.typeName, range]));
  return {
    contracts: [...ranges]
      .map(([contract, { min, max }]) => ({ contract, min, max }))
      .sort((a, b) => (a.contract < b.contract ? -1 : 1)),
    flags: [...new Set(options.flags ?? [])].sort(),
    serverVersion: options.serverVersion,
    unimplementedMethods: methods
      .filter(({ call }) => call === undefined)
      .map(({ feature }) => feature)
      .sort(),
  };
}
