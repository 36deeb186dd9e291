import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { OrderService } from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { reasonName } from "@qmtl/sdk/rpc";
import type { LongCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { type BadInputStack, bucketEndOf, dateOf, HISTORY } from "./bad-input-stack.ts";

/** Newest row of the feed that has passed. */
export const LAST_ROW = HISTORY + 4;

/** A strategy that may trade on paper, as seen on the wire: which session emits for it, under which fence. */
export interface Emitter {
  readonly at: BadInputStack;
  readonly runner: LongCommand;
  readonly strategyId: string;
  readonly sessionId: string;
  readonly ticket: string;
  readonly fence: bigint;
}

/** What a test changes in a valid statement of one target. */
export interface Statement {
  readonly leaseId?: string;
  readonly value?: number;
  readonly fence?: bigint;
  readonly domain?: ExecutionDomain;
  readonly strategyId?: string;
  readonly size?: { readonly case: "quantity"; readonly value: { readonly value: string } };
  readonly ticket?: string;
  readonly instrument?: string;
  readonly row?: number;
}

/** Promotes the idle strategy to paper: its runner then holds the order lease and wants no position. */
export async function reachPaper(at: BadInputStack): Promise<Emitter> {
  const { qmtl, call, stack, connection } = at;
  const runner = qmtl.start(["--gateway-url", stack.gatewayUrl, "run", "idler.ts", "--world", "w"]);
  const submitted = await runner.waitFor("it was submitted", ({ event }) => event === "submitted");
  const strategyId = /^s-[0-9a-f]{16}/.exec(String(submitted.message))?.[0] ?? "";
  await call("world", "apply", "w", "--run", "watch", "--to", "compute-only");
  await call("queues", "advance", "day", "--to", dateOf(LAST_ROW), "--wait");
  await call("world", "apply", "w", "--run", "trade", "--to", "paper");
  await runner.waitFor("its gate opened", ({ event }) => event === "gate_opened");
  const worldId = "w";
  const { emitterSessionId: sessionId } = await connection
    .client(GatewayService)
    .explainStrategy({ worldId, strategyId });
  const { gate } = await connection.client(ActivationService).getActivation({ worldId });
  const { ticket } = await connection.client(ControlStreamService).issueTicket({
    worldId,
    strategyIds: [strategyId],
    sessionId,
    rights: [TicketRight.TRADE],
  });
  return { at, runner, strategyId, sessionId, ticket, fence: gate?.fence ?? 0n };
}

/** States one target as the emitter's session would, correct except for `change`. */
export async function state(emitter: Emitter, change: Statement = {}) {
  const { at, strategyId } = emitter;
  const claim = {
    leaseId: change.leaseId ?? `${emitter.sessionId}/1`,
    fence: change.fence ?? emitter.fence,
    domain: change.domain ?? ExecutionDomain.DRYRUN,
  };
  const target = {
    strategyId: change.strategyId ?? strategyId,
    instrument: change.instrument ?? "X",
    size: change.size ?? { case: "weight" as const, value: change.value ?? 0.001 },
    bucketEndTime: timestampFromMs(bucketEndOf(change.row ?? LAST_ROW)),
  };
  const ticket = change.ticket ?? emitter.ticket;
  const update = { claim, targets: [target] };
  const { results } = await at.connection.client(OrderService).setTargets({ ticket, update });
  return { results: results.map((one) => ({ ...one, reason: reasonName(one.reason) ?? "" })) };
}

/** What the router has booked: its orders, and the length of its journal. */
export async function booked({ connection }: BadInputStack) {
  const { orders } = await connection.client(OrderService).listOrders({ filter: { worldId: "w" } });
  const { entries } = await connection
    .client(AccountService)
    .listJournal({ accountId: "main", pageSize: 1_000 });
  return { orders: orders.map(({ clientOrderId }) => clientOrderId), entries: entries.length };
}
