import type { MessageInitShape } from "@bufbuild/protobuf";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import type { CapabilitiesSchema } from "@qmtl/contracts/qmtl/type/v1/capabilities_pb";
import type { VersionRange } from "@qmtl/sdk/rpc";
import { type ServedService, serve } from "./handlers.ts";
import { plannedNames } from "./rpc/contract-marks.ts";
import { type SchemaRangeOf, servedMethods } from "./rpc/served-method.ts";

export interface CapabilitiesOptions {
  services: readonly ServedService[];
  /** The same as the servers'. @default 1..1 */
  schemaRange?: SchemaRangeOf;
  /** Flags that are on, such as "compat_rebalance_v2". @default none */
  flags?: readonly string[];
  /** Such as "0.1.0". */
  serverVersion: string;
  /**
   * What the servers behind this one report about the contracts that are relayed to them; a server that does not answer
   * is left out. @default nothing
   */
  behind?: () => Promise<readonly ContractVersions[]>;
}

/** Versions of one contract. */
export interface ContractVersions {
  readonly contract: string;
  readonly supported: VersionRange;
}

/** `SystemService` of a server: what it reports about the services it serves, this one included. */
export function systemService(options: CapabilitiesOptions): ServedService {
  const system: ServedService = serve(SystemService, {
    getCapabilities: async () => {
      const behind = (await options.behind?.()) ?? [];
      return {
        capabilities: capabilitiesOf(
          { ...options, services: [...options.services, system] },
          behind,
        ),
      };
    },
  });
  return system;
}

/** What GetCapabilities answers: ranges per contract, flags, and what is only planned; all sorted. */
export function capabilitiesOf(
  options: CapabilitiesOptions,
  behind: readonly ContractVersions[] = [],
): MessageInitShape<typeof CapabilitiesSchema> {
  const methods = servedMethods(options.services, options.schemaRange);
  const ranges = new Map<string, VersionRange>();
  for (const { desc, range, isRelayed } of methods)
    if (!isRelayed) ranges.set(desc.parent.typeName, range);
  const relayed = new Set(
    methods.filter((one) => one.isRelayed).map((one) => one.desc.parent.typeName),
  );
  // A proxy never invents a range: it reports what the server behind reports, or nothing.
  for (const contract of relayed) ranges.delete(contract);
  for (const { contract, supported } of behind)
    if (relayed.has(contract)) ranges.set(contract, supported);
  return {
    contracts: [...ranges]
      .map(([contract, supported]) => ({ contract, supported }))
      .sort((a, b) => (a.contract < b.contract ? -1 : 1)),
    flags: [...new Set(options.flags ?? [])].sort(),
    serverVersion: options.serverVersion,
    planned: [
      ...new Set(
        methods.flatMap(({ desc, call, access }) =>
          call === undefined && !access.isInternal
            ? [`${desc.parent.typeName}.${desc.name}`]
            : plannedNames(desc.input),
        ),
      ),
    ].sort(),
  };
}
