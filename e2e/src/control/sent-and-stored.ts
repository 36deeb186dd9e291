import { type DescMessage, equals, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import {
  type FeedState,
  FeedStateSchema,
  type Snapshot,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { GateStateSchema } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { SubmissionSchema } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { type Halt, HaltSchema } from "@qmtl/contracts/qmtl/order/v1/halt_pb";
import { type Order, OrderSchema, OrderState } from "@qmtl/contracts/qmtl/order/v1/order_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import type { HeldTopic } from "@qmtl/service-kit/testing";
import { STORY_WORLD } from "../crash/story-world.ts";

const worldId = STORY_WORLD;
const pageSize = 1_000;

/** Whether the state that a subscriber holds of a topic key is what the platform answers when asked. */
export async function isAsStored(connection: Connection, held: HeldTopic): Promise<boolean> {
  const { state } = held.snapshot;
  switch (state.case) {
    case "gate": {
      const { gate } = await connection.client(ActivationService).getActivation({ worldId });
      return isSame(GateStateSchema, gate, state.value);
    }
    case "policy": {
      const { policies } = await connection
        .client(PolicyService)
        .listPolicies({ worldId, pageSize });
      const inForce = policies.find((one) => one.isDefault);
      const { policyVersion, checksum } = state.value;
      return policyVersion === inForce?.version && checksum === inForce.checksum;
    }
    case "queues":
      return areQueuesStored(connection, state.value);
    case "orders":
      return areOrdersStored(connection, state.value.orders);
    case "halts": {
      const { halts } = await connection.client(OrderService).listHalts({ pageSize });
      return areSame(HaltSchema, byHalt(halts), byHalt(state.value.halts));
    }
    case "rebalancing": {
      const capital = connection.client(RebalancingService);
      const { allocations } = await capital.listAllocations({ worldId });
      return allocations[0]?.ratio === state.value.allocation;
    }
    case "submission": {
      const { submissionId } = state.value;
      const { submission } = await connection
        .client(GatewayService)
        .getSubmission({ submissionId });
      return isSame(SubmissionSchema, submission, state.value);
    }
    case "feed": {
      const scope = { scope: { case: "source" as const, value: state.value.source } };
      const [feed] = (await connection.client(QueueService).listFeeds({ scope })).feeds;
      return feed !== undefined && isSame(FeedStateSchema, storedOf(feed), storedOf(state.value));
    }
    default:
      throw new Error(`a state nobody asks for: ${state.case}`);
  }
}

/** A feed without what the barrier's owner adds to an event, which is as of the time the event was sent. */
function storedOf(feed: FeedState): FeedState {
  const runners = feed.runners.map((one) => ({ ...one, endedRow: -1n }));
  return { ...feed, runners, settled: false, droppedSessionIds: [] };
}

/** Whether both messages are equal; prints both when they differ. */
function isSame<T extends DescMessage>(
  schema: T,
  stored: MessageShape<T> | undefined,
  held: MessageShape<T>,
): boolean {
  if (stored === undefined) return false;
  if (equals(schema, stored, held)) return true;
  throw new Error(`stored ${toJsonString(schema, stored)}, held ${toJsonString(schema, held)}`);
}

type Queues = Extract<Snapshot["state"], { case: "queues" }>["value"];

/** Whether no swap is left and every queue held for a strategy is one that the platform knows. */
async function areQueuesStored(connection: Connection, { swaps, strategies }: Queues) {
  if (swaps.length > 0 || strategies.length === 0) return false;
  const queues = connection.client(QueueService);
  const { queues: stored } = await queues.listQueueStats({ pageSize });
  const known = new Set(stored.map(({ queue }) => queue?.computeKey));
  return strategies.every((one) => one.queues.every(({ computeKey }) => known.has(computeKey)));
}

const ENDED: readonly OrderState[] = [
  ...[OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED],
];

/** Whether the held working orders are those of the list and of the first state of a watch. */
async function areOrdersStored(connection: Connection, held: readonly Order[]): Promise<boolean> {
  const orders = connection.client(OrderService);
  const filter = { worldId };
  const working = { ...filter, workingOnly: true };
  const listed = (await orders.listOrders({ filter: working, pageSize })).orders;
  const watched: Order[] = [];
  for await (const { orders: some, initialEnd } of orders.watchOrders({ filter })) {
    watched.push(...some.filter(({ state }) => !ENDED.includes(state)));
    if (initialEnd) break;
  }
  return [listed, watched].every((all) => areSame(OrderSchema, byOrder(all), byOrder(held)));
}

const byHalt = (all: readonly Halt[]) => [...all].sort((a, b) => (a.haltId < b.haltId ? -1 : 1));
const byOrder = (all: readonly Order[]) =>
  [...all].sort((a, b) => (a.clientOrderId < b.clientOrderId ? -1 : 1));

function areSame<T extends typeof HaltSchema | typeof OrderSchema>(
  schema: T,
  some: readonly Parameters<typeof equals<T>>[1][],
  others: readonly Parameters<typeof equals<T>>[1][],
): boolean {
  return some.length === others.length && some.every((one, at) => equals(schema, one, others[at]!));
}
