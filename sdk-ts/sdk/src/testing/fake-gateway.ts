import type { DescService } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  type Client,
  Code,
  ConnectError,
  type ConnectRouter,
  createClient,
  createRouterTransport,
} from "@connectrpc/connect";
import type { SwapPhase } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import { QueueService, ReleaseReason } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import {
  type ConsumeRequest,
  QueueDataService,
} from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import {
  AccountService,
  type WatchJournalRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import {
  GatewayService,
  type SubmitStrategyRequest,
} from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { RunnerService } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import type { TargetUpdate } from "@qmtl/contracts/qmtl/order/v1/target_pb";
import { Reason } from "@qmtl/contracts/qmtl/type/v1/reason_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { dressTransport } from "../rpc/index.ts";
import { FakeBarrier } from "./fake-barrier.ts";
import { FakeControl } from "./fake-control.ts";
import type { FakeGateFacts } from "./fake-gate.ts";
import { FakeGraphs } from "./fake-graphs.ts";
import { type FakeEntry, FakeJournal } from "./fake-journal.ts";
import { FakeLeases } from "./fake-leases.ts";
import { FakeLog } from "./fake-log.ts";
import { FakeRunners } from "./fake-runners.ts";
import { FakeSnapshots } from "./fake-snapshots.ts";
import { FakeSwaps } from "./fake-swaps.ts";
import { Pulse } from "./pulse.ts";

/** The process at one connection. */
interface Peer {
  /** Session of its last ticket; empty before the first. */
  sessionId: string;
}

/** The end of a slice as a session stated it. */
export interface FakeStatement {
  readonly sessionId: string;
  readonly update: TargetUpdate;
}

/** Schema version that every message states. */
const schemaVersion = { version: 1, supported: { min: 1, max: 1 } };

/**
 * A gateway in this process, for tests of code that runs against one: submissions, control stream, leases, log,
 * snapshots, tags, replay barriers, bucket ends, fills and context swaps, over the product's own fold. One world, `w1`.
 */
export class FakeGateway {
  /** Its one world. */
  readonly worldId = "w1";
  /**
   * Length of node and order leases, milliseconds. A test that keeps this process busy for longer loses them.
   *
   * @default 10000
   */
  leaseMs = 10_000;
  /** Ends without a lease are held, as by a barrier whose slice waits for one under a lease. */
  holdsUnarmed = false;
  /** Number of ends that were held. */
  held = 0;
  /** Sessions whose builds are another one than those of all other sessions. */
  readonly otherBuild = new Set<string>();
  /** Nobody is told who holds the queues. */
  isStatsDown = false;
  /** The records that were published. */
  readonly log = new FakeLog();
  /** The snapshots that holders stored. */
  readonly snapshots = new FakeSnapshots();
  /** Ends of slices in order. */
  readonly targets: FakeStatement[] = [];
  /** Calls of Consume in order. */
  readonly reads: ConsumeRequest[] = [];
  /** The replay barriers of the feeds. */
  readonly barrier: FakeBarrier;
  readonly #graphs = new FakeGraphs(this.worldId);
  readonly #leases = new FakeLeases();
  readonly #journal = new FakeJournal(this.worldId);
  readonly #swaps = new FakeSwaps(this.worldId, this.#graphs);
  readonly #changed = new Pulse();
  /** Strategies of each session that was issued a ticket; the ticket is the session's id. */
  readonly #sessions = new Map<string, readonly string[]>();
  readonly #dead = new Set<string>();
  readonly #control = new FakeControl(this.worldId, this.#swaps);
  #isDown = false;

  constructor() {
    this.barrier = new FakeBarrier(this.#graphs, this.log);
  }

  /** @returns a connection for `runOnline`; each process of a test needs its own */
  connection(): { client<S extends DescService>(service: S): Client<S> } {
    // A process has one session, because its Consume calls carry no ticket.
    const peer: Peer = { sessionId: "" };
    const transport = createRouterTransport((router) => {
      this.#serveGateway(router, peer);
      this.#serveQueues(router, peer);
      this.#serveRunners(router);
    });
    const dressed = dressTransport(transport, {});
    return { client: (service) => createClient(service, dressed) };
  }

  /** Strategies that the newest ticket of a session covers. */
  coveredBy(sessionId: string): readonly string[] {
    return this.#sessions.get(sessionId) ?? [];
  }

  /** Number of order leases given so far. */
  get leasesGiven(): number {
    return this.#control.leasesGiven;
  }

  /** Sessions in the runner set of any feed, with the last row each has finished. */
  get runners(): ReadonlyMap<string, number> {
    return this.barrier.runners;
  }

  /** Takes the gateway down or brings it back: while it is down, every call fails and every stream breaks. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown;
    this.#notify();
  }

  /** Opens or shuts the gate of the world for all strategies; each time it is shut, the fence is raised. */
  setGate(isOpen: boolean, mode: FakeGateFacts["mode"]): void {
    this.#control.setGate(isOpen, mode, this.#graphs.strategyIds);
    this.#notify();
  }

  /** Ends a process as if it had crashed: its leases lapse, its calls fail, and no barrier waits for it. */
  kill(sessionId: string): void {
    this.#dead.add(sessionId);
    this.barrier.lose(sessionId);
    this.#leases.lapse(sessionId);
    this.#notify();
  }

  /** Grants the lease of a compute key to another session, as if the holder's had lapsed. */
  takeLease(key: string, sessionId: string): void {
    this.#leases.take(key, sessionId);
    this.#notify();
  }

  /** Frees the lease of a compute key for the next session that asks. */
  vacate(key: string): void {
    this.#leases.vacate(key);
    this.#notify();
  }

  /** Takes the lease of a compute key away from a build that has computed it otherwise than its log has it. */
  exclude(key: string): void {
    this.#leases.exclude(key);
    this.#notify();
  }

  /** @returns the session that holds the lease of a compute key; undefined if none does */
  holder(key: string): string | undefined {
    return this.#leases.holder(key);
  }

  /** Lets rows of the feeds pass up to and including this one. */
  advance(untilRow: number): void {
    this.barrier.untilRow = untilRow;
    this.#notify();
  }

  /** Starts a context swap of a strategy to domain `dryrun`. */
  openContext(strategyId: string): void {
    this.#swaps.open(strategyId);
    this.#notify();
  }

  /** @returns the phase of a strategy's context swap; undefined if there is none */
  swapPhase(strategyId: string): SwapPhase | undefined {
    return this.#swaps.phase(strategyId);
  }

  /** Appends an entry to the account's journal. */
  journal(entry: FakeEntry): void {
    this.#journal.append(entry);
    this.#notify();
  }

  /** Whether somebody follows the account's journal. */
  get isJournalWatched(): boolean {
    return this.#journal.watching > 0;
  }

  /** @returns the compute key of a node in an execution domain */
  key(nodeId: string, domain: "backtest" | "dryrun" = "backtest"): string {
    return this.#graphs.key(nodeId, domain);
  }

  #notify(): void {
    this.#changed.notify();
    this.log.changed.notify();
  }

  #check(sessionId: string): void {
    const isGone = this.#isDown || this.#dead.has(sessionId);
    if (isGone) throw new ConnectError("the gateway is not there", Code.Unavailable);
  }

  #serveGateway({ service }: ConnectRouter, peer: Peer): void {
    service(GatewayService, {
      submitStrategy: (request) => this.#submit(request),
      listNodeAssignments: ({ submissionId }) => this.#assignments(submissionId),
    });
    service(ControlStreamService, {
      issueTicket: ({ sessionId: stated, strategyIds }) => {
        const sessionId = stated || `session-${this.#sessions.size + 1}`;
        this.#check(sessionId);
        this.#sessions.set(sessionId, strategyIds);
        peer.sessionId = sessionId;
        return { schemaVersion, ticket: sessionId, sessionId };
      },
      subscribe: ({ ticket }, { signal }) => {
        return this.#control.events(this.#changed, () => this.#check(ticket), signal);
      },
      heartbeat: ({ ticket: sessionId, heartbeat }) => {
        this.#check(sessionId);
        const strategyIds = this.#sessions.get(sessionId) ?? [];
        return this.#control.heartbeat(heartbeat!, { sessionId, strategyIds }, this.leaseMs);
      },
      nack: () => ({ schemaVersion }),
    });
    service(WorldService, {
      getWorld: ({ worldId }) => {
        this.#check("");
        const { accountId } = this.#journal;
        return { schemaVersion, world: { worldId, accountId, source: "feed" } };
      },
    });
  }

  #serveQueues({ service }: ConnectRouter, peer: Peer): void {
    service(QueueService, {
      listQueuesByTag: ({ query, intervalSeconds }) => {
        this.#check("");
        const { tags, matchAll } = query!;
        return { schemaVersion, queues: this.#graphs.tagged(tags, matchAll, intervalSeconds) };
      },
      listQueueStats: ({ computeKeys }) => {
        this.#check("");
        if (this.isStatsDown) throw new ConnectError("no answer", Code.Unavailable);
        return { schemaVersion, queues: this.#leases.stats(computeKeys) };
      },
      acquireLeases: async (request, { signal }) => {
        const { ticket: sessionId } = request;
        const isOther = this.otherBuild.has(sessionId);
        const keys = request.keys.map(({ computeKey, build }) => {
          return { computeKey, build: isOther ? `${build}-other` : build };
        });
        const check = (): void => this.#check(sessionId);
        const waitMs = request.wait === undefined ? 0 : durationMs(request.wait);
        const asked = { keys, waitMs, leaseMs: this.leaseMs };
        const leases = await this.#leases.acquire(sessionId, asked, this.#changed, check, signal);
        return { schemaVersion, leases, excludedComputeKeys: this.#leases.excluded(keys) };
      },
      renewLeases: ({ ticket: sessionId, leases }) => {
        this.#check(sessionId);
        return { schemaVersion, renewals: this.#leases.renew(sessionId, leases) };
      },
      releaseLeases: ({ ticket: sessionId, leases, reason }) => {
        this.#check(sessionId);
        this.#leases.release(sessionId, leases, reason === ReleaseReason.DIVERGED);
        this.#notify();
        return { schemaVersion };
      },
      putSnapshots: ({ ticket: sessionId, snapshots }) => {
        this.#check(sessionId);
        const lost = snapshots.find((one) => this.#leases.holder(one.computeKey) !== sessionId);
        if (lost !== undefined) {
          throw new ConnectError(`not the holder of ${lost.computeKey}`, Code.FailedPrecondition);
        }
        this.snapshots.put(snapshots);
        return { schemaVersion, stored: snapshots.length };
      },
      getSnapshots: ({ computeKeys }) => {
        this.#check("");
        return { schemaVersion, snapshots: this.snapshots.get(computeKeys) };
      },
      answerSwap: ({ ticket, answer }) => {
        this.#check(ticket);
        const swap = this.#swaps.answer(answer!, this.barrier.passedRow());
        this.#notify();
        return { schemaVersion, swap };
      },
    });
    service(QueueDataService, {
      consume: (request, { signal }) => {
        this.reads.push(request);
        return this.log.consume(request, () => this.#check(peer.sessionId), signal);
      },
    });
  }

  #serveRunners({ service }: ConnectRouter): void {
    const runners = new FakeRunners({
      log: this.log,
      barrier: this.barrier,
      changed: this.#changed,
      check: (sessionId) => this.#check(sessionId),
      end: (sessionId, update) => this.#end(sessionId, update),
      left: () => this.#notify(),
    });
    service(RunnerService, { attach: (frames, { signal }) => runners.attach(frames, signal) });
    service(AccountService, {
      listJournal: ({ afterEntry, kinds }) => {
        this.#check("");
        return { schemaVersion, entries: this.#journal.list(afterEntry, kinds) };
      },
      watchJournal: (request, { signal }) => this.#watchJournal(request, signal),
    });
  }

  async *#watchJournal(request: WatchJournalRequest, signal: AbortSignal) {
    const check = (): void => this.#check("");
    for await (const entries of this.#journal.watch(request, this.#changed, check, signal)) {
      yield { schemaVersion, entries };
    }
  }

  #submit({ graph, strategyName }: SubmitStrategyRequest) {
    this.#check("");
    const strategyId = `s-${strategyName}`;
    this.#graphs.put(strategyId, graph!);
    for (const { tags } of graph!.nodes) if (tags.length > 0) this.#control.tagged(tags);
    this.#notify();
    const { COMPLETED: state } = SubmissionState;
    const contexts = [{ worldId: this.worldId }];
    const submission = { submissionId: strategyId, strategyId, state, contexts };
    return { schemaVersion, submission };
  }

  /** A submission has the id of its strategy here. */
  #assignments(submissionId: string) {
    this.#check("");
    const assignments = this.#graphs.graph(submissionId).nodes.map(({ nodeId }) => ({
      queue: { computeKey: this.key(nodeId), nodeId },
    }));
    return { schemaVersion, assignments };
  }

  #end(sessionId: string, update: TargetUpdate) {
    const { claim, ends, targets } = update;
    if (this.holdsUnarmed && claim?.leaseId === "") {
      this.held++;
      return undefined;
    }
    this.targets.push({ sessionId, update });
    for (const { source, row } of ends) this.barrier.ended(source, sessionId, Number(row));
    this.#notify();
    const isCurrent = this.#control.isCurrent(claim!.fence);
    const results = targets.map(({ strategyId, instrument }) => ({
      strategyId,
      instrument,
      accepted: isCurrent,
      reason: isCurrent ? Reason.UNSPECIFIED : Reason.GATE_SHUT,
      clientOrderIds: isCurrent ? ["o1"] : [],
    }));
    return { results, booked: ends };
  }
}
