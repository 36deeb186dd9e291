import { create, type DescService } from "@bufbuild/protobuf";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  createRouterTransport,
} from "@connectrpc/connect";
import {
  type ContextSwap,
  ContextSwapSchema,
  type ControlEvent,
  ControlEventSchema,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  type AckSwapRequest,
  QueueService,
} from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import {
  type ConsumeRequest,
  type PublishRequest,
  QueueDataService,
  RecordKind,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import {
  GatewayService,
  type SubmitStrategyRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import {
  OrderService,
  type SetTargetsRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/order_service_pb";
import type { StrategyGraph } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { computeKey, parseNodeId, sourceComputeKey } from "../canonical/index.ts";
import { dressTransport } from "../rpc/index.ts";
import { type FakeGateFacts, fakeGateMessage } from "./fake-gate.ts";
import { FakeLog } from "./fake-log.ts";
import { Pulse } from "./pulse.ts";

interface Lease {
  epoch: number;
  sessionId: string | undefined;
}

/** Version every message states. */
const schemaVersion = { min: 1, max: 1, version: 1 };

/**
 * A gateway in this process for tests of what runs against one: submissions, control stream, leases, log, replay
 * barrier, bucket ends and changes of context, over the product's own fold. One world, `w1`.
 */
export class FakeGateway {
  readonly log = new FakeLog();
  readonly worldId = "w1";
  /** Calls of SetTargets in order. */
  readonly targets: SetTargetsRequest[] = [];
  /** Sessions in the feed's runner set, with the last row they ended. */
  readonly runners = new Map<string, number>();
  /** Last row of the feed that may pass. */
  untilRow = Number.POSITIVE_INFINITY;
  readonly #leases = new Map<string, Lease>();
  readonly #changed = new Pulse();
  readonly #graphs = new Map<string, StrategyGraph>();
  readonly #sources = new Set<string>();
  readonly #dead = new Set<string>();
  #facts: FakeGateFacts = {
    revision: 1,
    fence: 1,
    isOpen: false,
    mode: "compute-only",
    strategyIds: [],
  };
  readonly #swaps = new Map<string, ContextSwap>();
  #isDown = false;

  /** A client side for `runOnline`; each process of a test takes its own. */
  connection(): { client<S extends DescService>(service: S): Client<S> } {
    const transport = createRouterTransport(({ service }) => {
      service(GatewayService, {
        submitStrategy: (request) => this.#submit(request),
      });
      service(ControlStreamService, {
        issueTicket: (request) => {
          this.#check(request.sessionId);
          return { schemaVersion, ticket: request.sessionId, sessionId: request.sessionId };
        },
        subscribe: (_request, { signal }) => this.#events(_request.ticket, signal),
        heartbeat: ({ heartbeat }) => this.#heartbeat(heartbeat!),
        nack: () => ({ schemaVersion }),
      });
      service(QueueService, {
        acquireLeases: (request, { signal }) => this.#acquire(request, signal),
        renewLeases: (request) => {
          this.#check(request.sessionId);
          const renewals = request.leases.map(({ computeKey: key, leaseEpoch }) => {
            const lease = this.#lease(key);
            const renewed =
              lease.sessionId === request.sessionId && BigInt(lease.epoch) === leaseEpoch;
            return { computeKey: key, renewed, currentEpoch: BigInt(lease.epoch) };
          });
          return { schemaVersion, renewals };
        },
        releaseLeases: (request) => {
          this.#check(request.sessionId);
          for (const { computeKey: key } of request.leases) {
            const lease = this.#lease(key);
            if (lease.sessionId === request.sessionId) lease.sessionId = undefined;
          }
          this.#notify();
          return { schemaVersion };
        },
        putSnapshots: (request) => ({ schemaVersion, stored: request.snapshots.length }),
        createReplayRunner: ({ runner }) => {
          this.#check(runner!.sessionId);
          this.runners.set(runner!.sessionId, this.#passedRow());
          return { schemaVersion, runner };
        },
        deleteReplayRunner: ({ sessionId }) => {
          this.#check(sessionId);
          this.runners.delete(sessionId);
          this.#notify();
          return { schemaVersion };
        },
        ackSwap: (request) => this.#ackSwap(request),
      });
      service(QueueDataService, {
        publish: (request, { signal }) => this.#publish(request, signal),
        consume: (request, { signal }) => this.#consume(request, signal),
      });
      service(OrderService, { setTargets: (request) => this.#setTargets(request) });
    });
    const dressed = dressTransport(transport, {});
    return { client: (service) => createClient(service, dressed) };
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** While down every call fails and every stream breaks. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown;
    this.#notify();
  }

  /** Opens or shuts the gate of the world for all strategies; each shutting raises the fence. */
  setGate(isOpen: boolean, mode: FakeGateFacts["mode"]): void {
    const { revision, fence } = this.#facts;
    const strategyIds = [...this.#graphs.keys()];
    const raised = isOpen ? fence : fence + 1;
    this.#facts = { revision: revision + 1, fence: raised, isOpen, mode, strategyIds };
    this.#notify();
  }

  /** A process is gone: its leases lapse, its calls fail, nobody waits for it. */
  kill(sessionId: string): void {
    this.#dead.add(sessionId);
    this.runners.delete(sessionId);
    for (const lease of this.#leases.values()) {
      if (lease.sessionId === sessionId) lease.sessionId = undefined;
    }
    this.#notify();
  }

  /** Takes a lease away as if it had lapsed and another had been granted it. */
  takeLease(key: string, sessionId: string): void {
    const lease = this.#lease(key);
    lease.epoch++;
    lease.sessionId = sessionId;
    this.#notify();
  }

  /** Gives a lease back to whoever asks. */
  vacate(key: string): void {
    this.#lease(key).sessionId = undefined;
    this.#notify();
  }

  holder(key: string): string | undefined {
    return this.#leases.get(key)?.sessionId;
  }

  advance(untilRow: number): void {
    this.untilRow = untilRow;
    this.#notify();
  }

  /** Moves a strategy into the dry-run context. */
  openContext(strategyId: string): void {
    const graph = this.#graphs.get(strategyId)!;
    const computed = graph.nodes.filter((node) => node.source === undefined);
    const swap = create(ContextSwapSchema, {
      swapId: `swap-${this.#swaps.size + 1}`,
      strategyId,
      worldId: this.worldId,
      phase: SwapPhase.OPENING,
      keys: computed.map(({ nodeId }) => ({
        nodeId,
        oldComputeKey: this.key(nodeId, "backtest"),
        newComputeKey: this.key(nodeId, "dryrun"),
      })),
    });
    this.#swaps.set(strategyId, swap);
    this.#notify();
  }

  swapPhase(strategyId: string): SwapPhase | undefined {
    return this.#swaps.get(strategyId)?.phase;
  }

  key(nodeId: string, domain: "backtest" | "dryrun" = "backtest"): string {
    const id = parseNodeId(nodeId);
    if (this.#sources.has(nodeId)) return sourceComputeKey(id);
    const context = {
      worldId: this.worldId,
      executionDomain: domain,
      asOf: "",
      partition: "global",
    };
    return computeKey({ nodeId: id, ...context });
  }

  #notify(): void {
    this.#changed.notify();
    this.log.changed.notify();
  }

  #check(sessionId: string): void {
    const isGone = this.#isDown || this.#dead.has(sessionId);
    if (isGone) throw new ConnectError("the gateway is not there", Code.Unavailable);
  }

  #lease(key: string): Lease {
    let lease = this.#leases.get(key);
    if (lease === undefined) {
      lease = { epoch: 0, sessionId: undefined };
      this.#leases.set(key, lease);
    }
    return lease;
  }

  #passedRow(): number {
    const rows = [...this.#sources].map((id) => this.log.fold(this.key(id)).nextRow - 1);
    return Math.max(-1, ...rows);
  }

  #submit({ graph, strategyName }: SubmitStrategyRequest) {
    this.#check("");
    const strategyId = `s-${strategyName}`;
    this.#graphs.set(strategyId, graph!);
    for (const node of graph!.nodes) if (node.source !== undefined) this.#sources.add(node.nodeId);
    const assignments = graph!.nodes.map((node) => ({
      nodeId: node.nodeId,
      worldId: node.source === undefined ? this.worldId : "",
      queue: { computeKey: this.key(node.nodeId), nodeId: node.nodeId },
    }));
    const submission = { submissionId: "sub", strategyId, state: "completed", assignments };
    return { schemaVersion, submission };
  }

  async *#events(sessionId: string, signal: AbortSignal) {
    let revision = 0;
    const told = new Map<string, string>();
    while (!signal.aborted) {
      this.#check(sessionId);
      const events: ControlEvent[] = [];
      if (this.#facts.revision !== revision) {
        revision = this.#facts.revision;
        const state = fakeGateMessage(this.worldId, this.#facts);
        const value = { state, change: "test" };
        events.push(create(ControlEventSchema, { payload: { case: "gateEvent", value } }));
      }
      for (const swap of this.#swaps.values()) {
        const name = `${swap.phase}/${swap.fromRow}`;
        if (told.get(swap.swapId) === name) continue;
        told.set(swap.swapId, name);
        const value = { worldId: this.worldId, strategyId: swap.strategyId, swap };
        events.push(create(ControlEventSchema, { payload: { case: "queueUpdated", value } }));
      }
      for (const event of events) yield { schemaVersion, event };
      if (events.length === 0) await this.#changed.changed(signal);
    }
  }

  #heartbeat(heartbeat: {
    sessionId: string;
    heartbeatSeq: bigint;
    strategyIds: string[];
    revision: bigint;
  }) {
    const { sessionId, heartbeatSeq, strategyIds } = heartbeat;
    this.#check(sessionId);
    const { isOpen, fence, revision } = this.#facts;
    const granted = isOpen && heartbeat.revision === BigInt(revision);
    const emitters = strategyIds.map((strategyId) => ({ strategyId, sessionId }));
    const lease = { leaseId: `l-${heartbeatSeq}`, leaseMs: 10_000, marginMs: 1_000 };
    const reply = {
      ...lease,
      sessionId,
      heartbeatSeq,
      granted,
      fence: BigInt(fence),
      emitters,
      decisionRemainingMs: 300_000,
      renewMs: 200,
    };
    return { schemaVersion, reply };
  }

  async #acquire(
    request: {
      readonly sessionId: string;
      readonly waitMs: number;
      readonly keys: readonly { readonly computeKey: string }[];
    },
    signal: AbortSignal,
  ) {
    for (;;) {
      this.#check(request.sessionId);
      const leases = request.keys.flatMap(({ computeKey: key }) => {
        const lease = this.#lease(key);
        if (lease.sessionId === request.sessionId) return [];
        if (lease.sessionId !== undefined) return [];
        lease.epoch++;
        lease.sessionId = request.sessionId;
        const times = { leaseMs: 10_000, marginMs: 1_000, renewMs: 1_000 };
        return [{ computeKey: key, leaseEpoch: BigInt(lease.epoch), ...times }];
      });
      if (leases.length > 0 || signal.aborted || request.waitMs === 0)
        return { schemaVersion, leases };
      await this.#changed.changed(signal);
    }
  }

  async #publish(request: PublishRequest, signal: AbortSignal) {
    const results = [];
    for (const record of request.records) {
      const isSource = [...this.#sources].some((id) => this.key(id) === record.computeKey);
      for (;;) {
        this.#check(request.sessionId);
        const row = Number(record.row);
        const isRow = isSource && record.kind === RecordKind.ROW;
        const isFirst = this.log.fold(record.computeKey).seq === 0;
        const isEnded = isFirst || [...this.runners.values()].every((ended) => ended >= row - 1);
        if (!isRow || (isEnded && row <= this.untilRow)) break;
        if (signal.aborted) return { schemaVersion, results };
        await this.#changed.changed(signal);
      }
      results.push(this.log.append(record));
    }
    return { schemaVersion, results };
  }

  async *#consume(request: ConsumeRequest, signal: AbortSignal) {
    const offsets = request.from.map(() => 0);
    while (!signal.aborted) {
      this.#check(request.sessionId);
      const changed = this.log.changed.changed(signal);
      const records = request.from.flatMap(({ computeKey: key, position }, at) => {
        const fromSeq = position.case === "fromSeq" ? Number(position.value) : 0;
        const read = this.log.read(key, fromSeq, offsets[at]!);
        offsets[at] = read.offset;
        return read.records;
      });
      if (records.length > 0) yield { schemaVersion, records };
      if (request.historyOnly) return;
      if (records.length === 0) await changed;
    }
  }

  #setTargets(request: SetTargetsRequest) {
    const { sessionId } = request.claim!;
    this.#check(sessionId);
    this.targets.push(request);
    if (this.runners.has(sessionId)) this.runners.set(sessionId, Number(request.endRow));
    this.#notify();
    const isCurrent = request.claim!.fence === BigInt(this.#facts.fence) && this.#facts.isOpen;
    const results = request.targets.map(({ strategyId, instrument }) => ({
      strategyId,
      instrument,
      accepted: isCurrent,
      reason: isCurrent ? "" : "GATE_SHUT",
      clientOrderIds: isCurrent ? ["o1"] : [],
    }));
    return { schemaVersion, results, bookedRow: request.endRow };
  }

  /** One runner a strategy: OPENING is warm with its first answer, PREPARE asks it once, then it is decided. */
  #ackSwap(request: AckSwapRequest) {
    this.#check(request.sessionId);
    const swap = [...this.#swaps.values()].find((one) => one.swapId === request.swapId)!;
    const isWarm = Number(request.warmRow) >= this.#passedRow() - 2;
    if (swap.phase === SwapPhase.OPENING && request.phase === SwapPhase.OPENING && isWarm) {
      swap.phase = SwapPhase.PREPARE;
      swap.fromRow = BigInt(this.#passedRow() + 2);
    } else if (swap.phase === SwapPhase.PREPARE && request.phase === SwapPhase.PREPARE) {
      if (request.endedRow >= swap.fromRow) swap.fromRow = BigInt(this.#passedRow() + 2);
      else swap.phase = SwapPhase.COMMIT;
    }
    this.#notify();
    return { schemaVersion, swap };
  }
}
