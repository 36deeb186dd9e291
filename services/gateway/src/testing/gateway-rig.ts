import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import {
  ApplyPhase,
  Gate,
  type GateState,
  GateStateSchema,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { DiffService } from "@qmtl/contracts/qmtl/dagmanager/v1/diff_service_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { ColumnKind, type Schedule } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { EffectiveMode, ExecutionDomain } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ReturnSeriesSchema } from "@qmtl/contracts/qmtl/type/v1/value_pb";
import {
  ActivationService,
  type ApplyRequest,
} from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { DecisionService } from "@qmtl/contracts/qmtl/world/v1/decision_service_pb";
import {
  type SessionClaim,
  SubscriptionService,
} from "@qmtl/contracts/qmtl/world/v1/subscription_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { computeKey, jcs, nodeId, nodeIdsCrc32, parseNodeId } from "@qmtl/core/canonical";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  createPrincipalCheck,
  openGrpcServer,
  serve,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { createGateway } from "../from-config.ts";
import type { OpenOrderModule } from "../orders/module.ts";
import type { RunningSession } from "../ports.ts";

/** A node as a test writes it. */
export interface TestNode {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly intervalSeconds: bigint;
  readonly period: number;
  readonly paramsJson: string;
  readonly inputs: { port: string; nodeId: string }[];
  readonly schemaCompatId: string;
  readonly codeHash: string;
  readonly name: string;
  readonly columns: { name: string; kind: ColumnKind }[];
  readonly source?: { source: string; schedule: Schedule; adapter?: string };
}

/** A submission as a test writes it. */
interface TestSubmission {
  readonly requestId?: string;
  readonly strategyName?: string;
  readonly worldIds?: string[];
  readonly asOf?: string;
  readonly pins?: { source: string; fingerprint: string }[];
  readonly targets?: { nodeId: string; instrument: string; maxWeight: number }[];
  readonly metadata?: Record<string, string>;
  readonly validateOnly?: boolean;
  readonly backtest?: MessageInitShape<typeof ReturnSeriesSchema>;
  readonly graph?: { nodes: TestNode[]; nodeIdsCrc32: number };
}

/** A node with its right id. */
export function node(
  type: string,
  inputs: readonly TestNode[] = [],
  params: object = {},
  intervalSeconds = 60,
): TestNode {
  const ids = inputs.map((input, at) => ({ port: `in${at}`, nodeId: input.nodeId }));
  const id = nodeId({
    node_type: type,
    interval_seconds: intervalSeconds,
    period: 1,
    params,
    inputs: ids.map((input) => ({ port: input.port, node_id: parseNodeId(input.nodeId) })),
    schema_compat_id: "f64:a",
    code_hash: "h",
  });
  return {
    nodeId: id,
    nodeType: type,
    intervalSeconds: BigInt(intervalSeconds),
    period: 1,
    paramsJson: jcs(params),
    inputs: ids,
    schemaCompatId: "f64:a",
    codeHash: "h",
    name: type,
    columns: [{ name: "a", kind: ColumnKind.F64 }],
  };
}

let submissions = 0;

/** A submission of some nodes to world w1. */
export function submission(nodes: readonly TestNode[], over: TestSubmission = {}): TestSubmission {
  const graph = {
    nodes: [...nodes],
    nodeIdsCrc32: nodeIdsCrc32(nodes.map((each) => each.nodeId)),
  };
  submissions += 1;
  const requestId = `test-${submissions}`;
  return { requestId, strategyName: "A", graph, worldIds: ["w1"], asOf: "snap", ...over };
}

/** WorldService as far as these tests call it: world w1, and a switch that takes it down. */
export class FakeWorld {
  isDown = false;
  gate: GateState = create(GateStateSchema, {
    worldId: "w1",
    storeEpoch: 1n,
    revision: 1n,
    fence: 1n,
    gate: Gate.OPEN,
    stateHash: "blake3:one",
  });
  readonly bound: string[] = [];
  /** Strategies unbound since they were last bound. */
  readonly unbound = new Set<string>();
  /** Worlds that were deleted. */
  readonly deleted = new Set<string>();
  /** Why no binding is removed. */
  unbindRefusal: QmtlError | undefined;
  /** Claims of heartbeats, in order. */
  readonly claims: SessionClaim[] = [];
  /** What an apply would switch; a refusal instead, where that is set. */
  plan: { planId: string; changes: StageChange[] } | QmtlError = { planId: "p1", changes: [] };
  /** Refusals of the next applies, one for each. */
  readonly applyRefusals: QmtlError[] = [];
  /** Plans that applies were prepared for, in order. */
  readonly applied: string[] = [];
  /** Principals that bound strategies, in order. */
  readonly binders: CallPrincipal[] = [];

  services() {
    const up = () => {
      if (this.isDown) throw new QmtlError("PEER_UNAVAILABLE", "down for a test");
    };
    const known = (worldId: string) => {
      up();
      const isThere = worldId === "w1" && !this.deleted.has(worldId);
      if (!isThere) throw new QmtlError("WORLD_NOT_FOUND", `no world ${worldId}`);
    };
    return [
      serve(WorldService, {
        async getWorld({ worldId }) {
          known(worldId);
          return { world: { worldId } };
        },
        listBindings: async ({ worldId }) => {
          known(worldId);
          const ids = new Set(this.bound.filter((id) => !this.unbound.has(id)));
          return { bindings: [...ids].map((strategyId) => ({ worldId, strategyId })) };
        },
        deleteBinding: async ({ worldId, strategyId }) => {
          known(worldId);
          if (this.unbindRefusal !== undefined) throw this.unbindRefusal;
          this.unbound.add(strategyId);
          return {};
        },
        deleteWorld: async ({ worldId }) => {
          known(worldId);
          if (this.unbindRefusal !== undefined) throw this.unbindRefusal;
          this.deleted.add(worldId);
          return {};
        },
        createWorld: async ({ world }) => ({ world: world! }),
        updateWorld: async ({ world }) => ({ world: world! }),
        createBindings: async ({ worldId, strategies }, { principal }) => {
          known(worldId);
          this.binders.push(principal);
          this.bound.push(...strategies.map(({ strategyId }) => strategyId));
          for (const { strategyId } of strategies) this.unbound.delete(strategyId);
          return {
            bindings: strategies.map(({ strategyId, strategyName }) => ({
              worldId,
              strategyId,
              strategyName,
            })),
          };
        },
      }),
      serve(ActivationService, {
        getActivation: async ({ worldId }) => {
          known(worldId);
          return { gate: this.gate };
        },
        planApply: async () => {
          if (this.plan instanceof QmtlError) throw this.plan;
          return this.plan;
        },
        apply: (request, { metadata }) => this.#apply(request, metadata),
        getApplyRun: async ({ runId }) => {
          throw new QmtlError("RUN_NOT_FOUND", `no run ${runId}`);
        },
      }),
      serve(DecisionService, {
        decide: async ({ worldId }) => {
          known(worldId);
          return {
            decision: { worldId, effectiveMode: EffectiveMode.PAPER, reason: "all is well" },
          };
        },
      }),
      serve(SubscriptionService, {
        relayHeartbeats: async ({ heartbeats }) => {
          up();
          this.claims.push(...heartbeats.map(({ claim }) => claim!));
          return {
            replies: heartbeats.map(({ heartbeat }) => ({
              heartbeatSeq: heartbeat!.heartbeatSeq,
              granted: true,
              lease: durationFromMs(5_000),
            })),
          };
        },
      }),
    ];
  }

  async *#apply({ runId }: ApplyRequest, metadata: ReadonlyMap<string, string>) {
    this.applied.push(metadata.get("x-qmtl-apply-plan") ?? "");
    const refusal = this.applyRefusals.shift();
    if (refusal !== undefined) throw refusal;
    yield { runId, phase: ApplyPhase.COMPLETED };
  }
}

/** A strategy whose stage an apply changes, as a test writes it. */
interface StageChange {
  readonly strategyId: string;
  readonly before: EffectiveMode;
  readonly after: EffectiveMode;
}

/** The DAG Manager as far as these tests call it: every node gets a queue, unless it is down. */
class FakeDag {
  isDown = false;
  readonly diffs: string[] = [];
  /** Strategies whose context was closed, in order. */
  readonly closed: string[] = [];
  /** Domains that contexts were opened in, in order; the first context of a strategy is backtest. */
  readonly opened: ExecutionDomain[] = [];

  services() {
    return [
      serve(QueueService, {
        openContext: async ({ strategyId, context }) => {
          const {
            worldId = "",
            asOf = "",
            executionDomain = ExecutionDomain.UNSPECIFIED,
          } = context ?? {};
          const before = this.opened.at(-1) ?? ExecutionDomain.BACKTEST;
          this.opened.push(executionDomain);
          const swap = {
            strategyId,
            phase: SwapPhase.COMMIT,
            oldContext: { worldId, asOf, executionDomain: before },
            newContext: { worldId, asOf, executionDomain },
          };
          return { swap };
        },
        closeContext: async ({ strategyId }) => {
          if (this.isDown) throw new QmtlError("PEER_UNAVAILABLE", "down for a test");
          this.closed.push(strategyId);
          return { closed: true };
        },
      }),
      serve(DiffService, {
        diff: (request) => this.#diff(request.graph!.nodes, request.submissionId, request.contexts),
      }),
    ];
  }

  async *#diff(
    nodes: readonly { nodeId: string }[],
    submissionId: string,
    contexts: readonly { worldId: string }[],
  ) {
    if (this.isDown) throw new QmtlError("PEER_UNAVAILABLE", "down for a test");
    this.diffs.push(submissionId);
    const assignments = nodes.flatMap(({ nodeId: id }) =>
      contexts.map((context) => ({
        nodeReused: this.diffs.length > 1,
        queue: { nodeId: id, computeKey: keyOf(id, context.worldId), context },
      })),
    );
    const crc = nodeIdsCrc32(nodes.map((each) => each.nodeId));
    // Two chunks, so that the gateway has to put them together.
    yield { chunk: 0, chunks: 2, assignments: assignments.slice(0, 1), nodeIdsCrc32: crc };
    yield { chunk: 1, chunks: 2, assignments: assignments.slice(1), nodeIdsCrc32: crc };
  }
}

const keyOf = (id: string, worldId: string) =>
  computeKey({
    nodeId: parseNodeId(id),
    worldId,
    executionDomain: "backtest",
    asOf: "snap",
    partition: "global",
  });

/** What the order path was told of what runs, in order. */
type Told = ["heard", RunningSession] | ["ended" | "bindings", string];

const noOrders =
  (told: Told[]): OpenOrderModule =>
  () => ({
    path: {
      onBars: async () => {},
      rowsPassed: () => {},
      bookedRow: () => -1,
      takeSlice: async () => {},
      isReported: () => true,
      reported: async () => {},
      usesOf: async () => undefined,
      sharing: (worldIds) => ({ isIdle: () => false, worldIds }),
    },
    services: [],
    setTargets: async () => ({}),
    strategies: {
      read: async () => ({
        fields: {},
        wantedOrders: 0,
        sentOrders: 0,
        signalGaps: [],
        ruin: undefined,
        isShutByLateOrder: false,
        halts: [],
        capital: undefined,
        overdue: undefined,
      }),
    },
    runs: {
      heard: (session) => told.push(["heard", session]),
      ended: (sessionId) => told.push(["ended", sessionId]),
      bindingsChanged: (worldId) => told.push(["bindings", worldId]),
    },
    start: async () => {},
    drain: () => {},
    storeHalts: async () => {},
    stop: async () => {},
  });

const gatewayKey = { gatewayId: "gw-test", secret: new Uint8Array(32).fill(7) };

/** A gateway over PGlite and the embedded bus, between fakes of its peers, at a real server. */
export async function openGatewayRig() {
  await using opened = new AsyncDisposableStack();
  const host = opened.use(await openTestPglite());
  const bus = await openEmbeddedBus({ db: host.db("bus"), pollMs: 50 });
  opened.defer(() => bus.close());
  const world = new FakeWorld();
  const dag = new FakeDag();
  const principalOf = createPrincipalCheck({ gateways: [gatewayKey] });
  const worldServer = opened.use(await openGrpcServer({ services: world.services(), principalOf }));
  const dagServer = opened.use(await openGrpcServer({ services: dag.services(), principalOf }));
  const config = await loadConfig({ cwd: "/", env: {} });
  const told: Told[] = [];
  const make = () =>
    createGateway({
      db: host.db("gateway"),
      paperDb: host.db("paper"),
      bus,
      clock: systemClock,
      logger: silentLogger,
      config,
      gatewayKey,
      peers: {
        dagManagerUrl: `http://127.0.0.1:${dagServer.port}`,
        worldServiceUrl: `http://127.0.0.1:${worldServer.port}`,
      },
      openOrders: noOrders(told),
    });
  const gateway = await make();
  await gateway.start();
  opened.defer(() => gateway.stop());
  const server = opened.use(
    await openGrpcServer({ services: gateway.services, checkTicket: gateway.checkTicket }),
  );
  const connection = connectTo(`http://127.0.0.1:${server.port}`, { repeatableMethods: [] });
  opened.defer(() => connection.close());
  const all = opened.move();
  return {
    world,
    dag,
    told,
    bus,
    db: host.db("gateway"),
    make,
    client: connection.client.bind(connection),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
