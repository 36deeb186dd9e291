import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type {
  SetTargetsRequest,
  SetTargetsResponseSchema,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { reasonToProto } from "@qmtl/sdk/rpc";
import type { SessionScope } from "@qmtl/service-kit";
import type { TakenTargets } from "../intake/target-intake.ts";
import type { TargetsCall } from "../intake/targets-call.ts";
import { claimFrom } from "./order-gate-state.ts";

/** Converts a SetTargets request of a session into the router's types. */
export function targetsCallFrom(request: SetTargetsRequest, session: SessionScope): TargetsCall {
  const update = request.update!;
  return {
    world: session.worldId,
    claim: claimFrom(update.claim, session),
    isArmed: (update.claim?.leaseId ?? "") !== "",
    targets: update.targets.map((one) => {
      const bucket = timestampMs(one.bucketEndTime!);
      return {
        strategy: one.strategyId,
        instrument: one.instrument,
        // Quantity and notional are planned: the server has refused them.
        value: one.size.case === "weight" ? one.size.value : 0,
        bucket,
        inputWatermark: one.inputWatermarkTime ? timestampMs(one.inputWatermarkTime) : bucket,
        reason: one.reason,
      };
    }),
    ends: update.ends.map(({ source, row }) => ({ source, row: Number(row) })),
    wanted: Number(update.wantedOrders),
    strategies: update.strategyIds,
    evaluations: {
      shared: Number(update.sharedEvaluations),
      own: Number(update.ownEvaluations),
    },
  };
}

/** Its answer on the wire. */
export function targetsAnswer(
  request: SetTargetsRequest,
  { verdicts, booked }: TakenTargets,
): MessageInitShape<typeof SetTargetsResponseSchema> {
  return {
    booked: booked.map(({ source, row }) => ({ source, row: BigInt(row) })),
    results: request.update!.targets.map((target, index) => {
      const verdict = verdicts[index];
      return {
        strategyId: target.strategyId,
        instrument: target.instrument,
        accepted: verdict?.accepted ?? false,
        reason: reasonToProto(verdict?.reason ?? ""),
        clientOrderIds: [...(verdict?.orders ?? [])],
        haltIds: [...(verdict?.haltIds ?? [])],
      };
    }),
  };
}
