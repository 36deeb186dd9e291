import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type SetTargetsRequest,
  SetTargetsRequestSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { domainToProto, type GateWord } from "../control/index.ts";
import type { FeedEnd } from "./online-clocks.ts";
import type { Evaluations } from "./online-evaluations.ts";
import type { StatedTarget } from "./target-book.ts";

/** Who states targets, and what it has counted so far. */
export interface TargetsCaller {
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
  targets: readonly StatedTarget[],
): SetTargetsRequest {
  const { strategyId, ticket, wantedOrders, evaluations } = caller;
  const bucketEndTime = timestampFromMs(bucketEndMs);
  const request: MessageInitShape<typeof SetTargetsRequestSchema> = {
    ticket,
    update: {
      claim: {
        leaseId: word.leaseId,
        fence: BigInt(word.fence),
        domain: domainToProto(word.domain),
      },
      targets: targets.map(({ target, value }) => ({
        strategyId,
        instrument: target.instrument,
        size: { case: "weight", value },
        row: BigInt(row),
        bucketEndTime,
        inputWatermarkTime: bucketEndTime,
      })),
      // A bucket of computed queues alone ends no row of a feed.
      ends: source === "" ? [] : [{ source, row: BigInt(row) }],
      strategyIds: [strategyId],
      wantedOrders: BigInt(wantedOrders),
      sharedEvaluations: BigInt(evaluations.shared),
      ownEvaluations: BigInt(evaluations.own),
    },
  };
  return create(SetTargetsRequestSchema, request);
}
