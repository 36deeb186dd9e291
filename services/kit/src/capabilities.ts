import type { MessageInitShape } from "@bufbuild/protobuf";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import type { CapabilitiesSchema } from "@qmtl/contracts/qmtl/type/v1/capabilities_pb";
import { type ServedService, serve } from "./handlers.ts";
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

/** `SystemService` of a server: what it says of the services it serves, this one included. */
export function systemService(options: CapabilitiesOptions): ServedService {
  const system: ServedService = serve(SystemService, {
    getCapabilities: async () => ({
      capabilities: capabilitiesOf({ ...options, services: [...options.services, system] }),
    }),
  });
  return system;
}

/** What GetCapabilities answers: ranges per contract, flags, and what is planned only; all sorted. */
export function capabilitiesOf(
  options: CapabilitiesOptions,
): MessageInitShape<typeof CapabilitiesSchema> {
  const methods = servedMethods(options.services, options.schemaRange);
  const ranges = new Map(methods.map(({ desc, range }) => [desc.parent.typeName, range]));
  return {
    contracts: [...ranges]
      .map(([contract, supported]) => ({ contract, supported }))
      .sort((a, b) => (a.contract < b.contract ? -1 : 1)),
    flags: [...new Set(options.flags ?? [])].sort(),
    serverVersion: options.serverVersion,
    planned: methods
      .filter(({ call }) => call === undefined)
      .map(({ desc }) => `${desc.parent.typeName}.${desc.name}`)
      .sort(),
  };
}
