import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  SetTargetsRequest,
  SetTargetsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { TargetVerdict } from "../router/take-targets.ts";
import type { TargetsCall } from "../router/targets-call.ts";
import { domainFrom } from "./order-gate-state.ts";

/** A SetTargets call in the router's words. */
export function targetsCallFrom(request: SetTargetsRequest): TargetsCall {
  const { claim } = request;
  return {
    world: claim?.worldId ?? "",
    claim: {
      sessionId: claim?.sessionId ?? "",
      fence: Number(claim?.fence ?? 0n),
      domain: domainFrom(claim?.domain ?? 0),
    },
    isArmed: (claim?.leaseId ?? "") !== "",
    targets: request.targets.map((one) => ({
      strategy: one.strategyId,
      instrument: one.instrument,
      value: one.value,
      bucket: Number(one.bucketEndMs),
      inputWatermark: Number(one.inputWatermarkMs),
      reason: one.reason,
    })),
    source: request.source,
    endRow: Number(request.endRow),
    wanted: Number(request.wantedOrders),
    strategies: request.strategyIds,
    evaluations: Object.fromEntries(
      Object.entries(request.evaluations).map(([kind, count]) => [kind, Number(count)]),
    ),
  };
}

/** Its answer on the wire. */
export function targetsAnswer(
  request: SetTargetsRequest,
  verdicts: readonly TargetVerdict[],
  bookedRow: number,
): MessageInitShape<typeof SetTargetsResponseSchema> {
  return {
    bookedRow: BigInt(bookedRow),
    results: request.targets.map((target, index) => {
      const verdict = verdicts[index];
      return {
        strategyId: target.strategyId,
        instrument: target.instrument,
        accepted: verdict?.accepted ?? false,
        reason: verdict?.reason ?? "",
        clientOrderIds: [...(verdict?.orders ?? [])],
      };
    }),
  };
}
