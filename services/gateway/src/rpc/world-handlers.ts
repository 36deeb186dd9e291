import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { Handlers, ServedService } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { forwardService, forwardUnary } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";
import { knownStrategies } from "../store/submission-store.ts";
import { type ApplyPorts, applyWithContexts } from "../worlds/apply-with-contexts.ts";
import type { DecisionCache } from "../worlds/decision-cache.ts";
import { fillActivations, fillDecision } from "../worlds/envelopes.ts";
import type { UnboundContexts } from "../worlds/unbound-contexts.ts";

interface WorldHandlerPorts {
  readonly world: Peer;
  /** Accounts and sources of the configuration; a world may name no others. */
  readonly config: Pick<QmtlConfig, "accounts" | "sources">;
  /** Submissions: only a strategy that was submitted can be bound. */
  readonly db: Db;
  readonly apply: ApplyPorts;
  readonly decisions: DecisionCache;
  /** Compute contexts follow what is bound. */
  readonly unbound: UnboundContexts;
  /** See `SliceBookings.reported`. */
  readonly reported: () => Promise<void>;
}

/**
 * WorldService's contracts at the gateway's address: passed on, with execution domains filled in. While it does not
 * answer, its last decisions are given, lowered. What judges returns has those of all slices that are booked here.
 */
export function worldServices(ports: WorldHandlerPorts): ServedService[] {
  const { world, reported } = ports;
  const judging = { evaluate: reported, listMetrics: reported };
  return [
    forwardService(WorldService, world, worlds(ports)),
    forwardService(PolicyService, world),
    forwardService(DecisionService, world, decisions(ports), judging),
    forwardService(ActivationService, world, activations(ports), { planApply: reported }),
    forwardService(RebalancingService, world),
  ];
}

/** WorldService knows neither accounts, sources nor submissions: what a world names is looked up here. */
function worlds({
  world: peer,
  config,
  db,
  unbound,
}: WorldHandlerPorts): Handlers<typeof WorldService> {
  const createWorld = forwardUnary(WorldService.method.createWorld, peer);
  const updateWorld = forwardUnary(WorldService.method.updateWorld, peer);
  const deleteWorld = forwardUnary(WorldService.method.deleteWorld, peer);
  const createBindings = forwardUnary(WorldService.method.createBindings, peer);
  const deleteBinding = forwardUnary(WorldService.method.deleteBinding, peer);
  const checkAccount = (accountId: string) => {
    if (accountId === "" || Object.hasOwn(config.accounts, accountId)) return;
    throw notConfigured("ACCOUNT_NOT_FOUND", "account_id", accountId);
  };
  const checkSource = (source: string) => {
    if (source === "" || Object.hasOwn(config.sources, source)) return;
    throw notConfigured("SOURCE_NOT_FOUND", "source", source);
  };
  return {
    createWorld(request, context) {
      checkAccount(request.world?.accountId ?? "");
      checkSource(request.world?.source ?? "");
      return createWorld(request, context);
    },
    updateWorld(request, context) {
      const paths = request.updateMask?.paths ?? [];
      const isMeant = paths.length === 0 || paths.includes("account_id");
      if (isMeant) checkAccount(request.world?.accountId ?? "");
      return updateWorld(request, context);
    },
    deleteWorld: (request, context) =>
      unbound.unbindAll(request.worldId, () => deleteWorld(request, context)),
    async createBindings(request, context) {
      const ids = request.strategies.map(({ strategyId }) => strategyId);
      const known = new Set(await knownStrategies(db, ids));
      const at = ids.findIndex((id) => !known.has(id));
      if (at < 0) {
        return unbound.bind(request.worldId, ids, () => createBindings(request, context));
      }
      const strategyId = ids[at] ?? "";
      const fields = [
        { field: `strategies[${at}].strategy_id`, description: "was never submitted here" },
      ];
      const metadata = { strategy_id: strategyId };
      throw new QmtlError("STRATEGY_NOT_FOUND", `no strategy ${strategyId}`, { metadata, fields });
    },
    deleteBinding(request, context) {
      const { worldId, strategyId } = request;
      return unbound.unbind({ worldId, strategyId }, () => deleteBinding(request, context));
    },
  };
}

function notConfigured(
  reason: "ACCOUNT_NOT_FOUND" | "SOURCE_NOT_FOUND",
  field: "account_id" | "source",
  name: string,
): QmtlError {
  const what = field === "source" ? "source" : "account";
  return new QmtlError(reason, `${what} ${name} is not configured at this gateway`, {
    metadata: { [field]: name },
    fields: [{ field: `world.${field}`, description: "is not in the gateway's configuration" }],
  });
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
  const deactivate = forwardUnary(ActivationService.method.deactivate, ports.world);
  const updateActivation = forwardUnary(ActivationService.method.updateActivation, ports.world);
  return {
    async getActivation(request, context) {
      const answer = await getActivation(request, context);
      fillActivations(answer.activations);
      return answer;
    },
    async deactivate(request, context) {
      const answer = await deactivate(request, context);
      fillActivations(answer.activations);
      return answer;
    },
    async updateActivation(request, context) {
      const answer = await updateActivation(request, context);
      fillActivations(answer.activations);
      return answer;
    },
    async *apply(request, context) {
      await ports.reported();
      yield* applyWithContexts(ports.apply, request, context);
    },
  };
}
