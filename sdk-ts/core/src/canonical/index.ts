export {
  asOfNone,
  asOfPins,
  type ConeNode,
  coneOfEach,
  dataOfCone,
  type PinnedData,
  pinsEverySource,
  type SourceCone,
  type SourcePins,
  unpinnedSources,
} from "./as-of.ts";
export { blake3Hex } from "./blake3.ts";
export {
  type CheckedNode,
  checkGraph,
  cycleOf,
  type GraphCheck,
  type GraphFinding,
  type GraphFindingReason,
} from "./check-graph.ts";
export { CodeHashError, type CodeHashErrorReason } from "./code-hash/code-hash-error.ts";
export {
  type CodeHash,
  type CodeHashOptions,
  type ComputeFunction,
  openCodeHasher,
} from "./code-hash.ts";
export {
  type ComputeContext,
  type ComputeKey,
  computeKey,
  type ExecutionDomain,
  globalPartition,
  sourceComputeKey,
} from "./compute-key.ts";
export { exactJson, parseExactJson } from "./exact-json.ts";
export { IdentityError, type IdentityErrorReason } from "./identity-error.ts";
export { jcs, jcsDepthMax } from "./jcs.ts";
export {
  type CanonicalInput,
  type CanonicalNode,
  canonicalNodeText,
  isBlake3Id,
  type NodeId,
  nodeId,
  parseNodeId,
} from "./node-id.ts";
export { nodeIdsCrc32 } from "./node-ids-crc32.ts";
export { assertNoReservedParams, isReservedParam, reservedParamNames } from "./reserved-params.ts";
