import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { type Handlers, requireRole, type ServedService } from "@qmtl/service-kit";
import { forwardService, forwardUnary } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import { type ApplyPorts, applyWithContexts } from "../worlds/apply-with-contexts.ts";
import type { DecisionCache } from "../worlds/decision-cache.ts";
import { fillActivations, fillDecision } from "../worlds/envelopes.ts";

export interface WorldHandlerPorts {
  readonly world: Peer;
  readonly apply: ApplyPorts;
  readonly decisions: DecisionCache;
}

/** WorldService's contracts under the gateway's address: passed on, domains filled, safe when it is down. */
export function worldServices(ports: WorldHandlerPorts): ServedService[] {
  const { world } = ports;
  return [
    forwardService(WorldService, world),
    forwardService(PolicyService, world),
    forwardService(DecisionService, world, decisions(ports)),
    forwardService(ActivationService, world, activations(ports)),
    forwardService(RebalancingService, world),
  ];
}

function decisions(ports: WorldHandlerPorts): Handlers<typeof DecisionService> {
  const setDecisions = forwardUnary(DecisionService.method.setDecisions, ports.world);
  return {
    decide: (request, context) => ports.decisions.decide(request, context),
    async setDecisions(request, context) {
      const answer = await setDecisions(request, context);
      fillDecision(answer.decision);
      return answer;
    },
  };
}

function activations(ports: WorldHandlerPorts): Handlers<typeof ActivationService> {
  const getActivation = forwardUnary(ActivationService.method.getActivation, ports.world);
  const setActivation = forwardUnary(ActivationService.method.setActivation, ports.world);
  return {
    async getActivation(request, context) {
      const answer = await getActivation(request, context);
      fillActivations(answer.activations);
      return answer;
    },
    async setActivation(request, context) {
      const answer = await setActivation(request, context);
      fillActivations(answer.activations);
      return answer;
    },
    apply(request, context) {
      requireRole(context, "owner", "operator");
      return applyWithContexts(ports.apply, request, context);
    },
  };
}
