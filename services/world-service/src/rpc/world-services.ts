import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { SubscriptionService } from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type SchemaRangeOf, type ServedService, serve } from "@qmtl/service-kit";
import type { Worlds } from "../world/worlds.ts";
import { activationHandlers } from "./activation-handlers.ts";
import { decisionHandlers } from "./decision-handlers.ts";
import { policyHandlers } from "./policy-handlers.ts";
import { rebalancingHandlers } from "./rebalancing-handlers.ts";
import { subscriptionHandlers } from "./subscription-handlers.ts";
import { type WorldHandlerOptions, worldHandlers } from "./world-handlers.ts";

/** Versions per contract: all speak 1, rebalancing up to `rebalanceMax`. */
export function schemaRangeOf(rebalanceMax: number): SchemaRangeOf {
  return (service) => ({
    min: 1,
    max: service.typeName === RebalancingService.typeName ? rebalanceMax : 1,
  });
}

/** All services of the contract. */
export function worldServices(
  worlds: Worlds,
  options: WorldHandlerOptions & { readonly alphaMetricsRequired: boolean },
): ServedService[] {
  return [
    serve(WorldService, worldHandlers(worlds, options)),
    serve(PolicyService, policyHandlers(worlds)),
    serve(DecisionService, decisionHandlers(worlds)),
    serve(ActivationService, activationHandlers(worlds)),
    serve(SubscriptionService, subscriptionHandlers(worlds)),
    serve(RebalancingService, rebalancingHandlers(worlds, options)),
  ];
}
