import { toBinary } from "@bufbuild/protobuf";
import {
  type SubmitStrategyRequest,
  SubmitStrategyRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { blake3Hex, jcs } from "@qmtl/core/canonical";

/** `"s-"` and the first 16 hex digits of BLAKE3 over JCS of name and sorted node ids: same graph and name, same id. */
export function strategyIdOf(name: string, nodeIds: readonly string[]): string {
  return `s-${blake3Hex(jcs({ name, node_ids: [...nodeIds].sort() })).slice(0, 16)}`;
}

/** Id of a strategy's submission to a set of worlds; the order of the worlds does not matter. */
export function submissionIdOf(strategyId: string, worldIds: readonly string[]): string {
  const world_ids = [...worldIds].sort();
  return `sub-${blake3Hex(jcs({ strategy_id: strategyId, world_ids })).slice(0, 16)}`;
}

/** Hash of what a request asks for: all of it but the request id and the versions the caller speaks. */
export function contentHashOf(request: SubmitStrategyRequest): string {
  const content = { ...request, requestId: "" };
  delete content.schemaVersion;
  const metadata = Object.entries(request.metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  content.metadata = Object.fromEntries(metadata);
  return blake3Hex(toBinary(SubmitStrategyRequestSchema, content));
}
