import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type SetTargetsRequest,
  SetTargetsRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { domainToProto, type GateWord } from "../control/index.ts";
import type { EdgeTarget } from "./edge-targets.ts";
import type { FeedEnd } from "./online-clocks.ts";
import type { Evaluations } from "./online-evaluations.ts";

/** Who states targets, and what it has counted so far. */
export interface TargetsCaller {
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyId: string;
  readonly ticket: string;
  readonly wantedOrders: number;
  readonly evaluations: Evaluations;
}

/** The end of a row with the targets that go along, under a word of the gate. */
export function targetsRequest(
  caller: TargetsCaller,
  word: GateWord,
  bucketEndMs: number,
  { source, row }: FeedEnd,
  targets: readonly EdgeTarget[],
): SetTargetsRequest {
  const { sessionId, worldId, strategyId, ticket, wantedOrders, evaluations } = caller;
  const request: MessageInitShape<typeof SetTargetsRequestSchema> = {
    ticket,
    claim: {
      worldId,
      sessionId,
      leaseId: word.leaseId,
      fence: BigInt(word.fence),
      revision: BigInt(word.revision),
      decisionId: word.decisionId,
      domain: domainToProto(word.domain),
      validForMs: Math.max(0, Math.floor(word.validForMs)),
    },
    targets: targets.map(({ target, value }) => ({
      strategyId,
      instrument: target.instrument,
      value,
      row: BigInt(row),
      bucketEndMs: BigInt(bucketEndMs),
      inputWatermarkMs: BigInt(bucketEndMs),
    })),
    source,
    endRow: BigInt(row),
    wantedOrders: BigInt(wantedOrders),
    strategyIds: [strategyId],
    evaluations: Object.fromEntries(
      Object.entries(evaluations).map(([kind, count]) => [kind, BigInt(count)]),
    ),
  };
  return create(SetTargetsRequestSchema, request);
}
