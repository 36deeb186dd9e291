import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { NodeLease } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import type { TicketKeeper } from "../../control/index.ts";
import { QmtlError } from "../../rpc/qmtl-error.ts";
import { TagMapFile } from "../source-files/tag-map-file.ts";
import type { ComputedBucket } from "./compute/clocks.ts";
import { type ContextListener, OnlineContext } from "./compute/context.ts";
import { RowTrimmer } from "./compute/retention.ts";
import { type ContextOpener, ContextSwaps } from "./compute/swap.ts";
import { FeedWatermarks } from "./log/feed-watermarks.ts";
import { HeldLeases, type LeaseListener } from "./log/held-leases.ts";
import { type PublishListener, RunPublishers } from "./log/publisher.ts";
import { logGone } from "./log/queue-reader.ts";
import type { QueueReplica, ReplicaPort } from "./log/queue-replica.ts";
import type { RunPorts } from "./log/run-ports.ts";
import { OnlineSources, RunnerSets } from "./log/sources.ts";
import { TagQueryTracker } from "./log/tag-query-tracker.ts";
import type { CarriedRecord } from "./log/wire-records.ts";
import { type GateListener, GateMonitor } from "./orders/gate-monitor.ts";
import { SignalMonitor } from "./orders/signal-monitor.ts";
import type { StrategyCallbacks } from "./orders/strategy-callbacks.ts";
import { type BucketListener, TargetSender } from "./orders/target-sender.ts";
import type { RunState } from "./run-state.ts";
import { type ConnectionMonitor, DagManagerMonitor } from "./session/connection-monitor.ts";
import type { OnlineGraph } from "./session/graph.ts";
import type { OngoingRun, RunClock, RunTasks } from "./session/ongoing-run.ts";
import type { OnlineOptions } from "./session/online-run.ts";
import type { RunReports } from "./session/run-reporter.ts";
import type { OnlineServices } from "./session/services.ts";
import { contextIn, type SubmittedGraph } from "./session/submission.ts";

/** What the parts of a run are made from: all of it exists before the strategy is submitted. */
interface RunHost {
  readonly run: OngoingRun;
  readonly graph: OnlineGraph;
  readonly options: OnlineOptions;
  readonly services: OnlineServices;
  readonly clock: RunClock;
  readonly reports: RunReports;
  readonly tasks: RunTasks;
  readonly state: RunState;
  readonly calls: StrategyCallbacks;
  readonly connection: ConnectionMonitor;
  /** Highest domain in which orders may leave; null: as the world grants. */
  readonly domainMax: ExecutionDomain | null;
  /** The session's tickets; parts are made after the first was issued. */
  readonly tickets: TicketKeeper;
}

/**
 * The parts of a run, which exist only after its strategy was submitted, and the calls between them. The constructor
 * starts nothing.
 */
export class RunParts
  implements
    ReplicaPort,
    LeaseListener,
    PublishListener,
    GateListener,
    BucketListener,
    ContextOpener
{
  readonly strategyId: string;
  readonly watermarks = new FeedWatermarks();
  readonly leases: HeldLeases;
  readonly publishers: RunPublishers;
  readonly sources: OnlineSources;
  readonly sets: RunnerSets;
  readonly monitor: GateMonitor;
  readonly sender: TargetSender;
  readonly signals: SignalMonitor;
  readonly swap: ContextSwaps;
  readonly #trimmer: RowTrimmer;
  readonly #host: RunHost;
  readonly #ports: RunPorts;

  /** @throws {QmtlError} QUEUE_NOT_FOUND when a node was given no queue */
  constructor(host: RunHost, { submission, computeKeys }: SubmittedGraph) {
    const { run, graph, options, services, clock, reports, tasks, tickets, state } = host;
    const { config, worldId } = options;
    const { data, queues } = services;
    const { strategyId } = submission;
    checkQueues(graph, computeKeys);
    this.#host = host;
    this.strategyId = strategyId;
    const monitor = new DagManagerMonitor(reports);
    this.leases = new HeldLeases({ queues, clock, tickets, reports, monitor, listener: this });
    this.publishers = new RunPublishers({ data, clock, tickets, reports, listener: this });
    const { leases } = this;
    this.#ports = { run, data, queues, clock, tickets, reports, tasks, leases, replicaPort: this };
    const ports = this.#ports;
    const { evaluations } = state;
    this.sources = new OnlineSources({
      ports,
      graph,
      computeKeys,
      entries: config.sources,
      evaluations,
    });
    this.sets = new RunnerSets(ports, this.sources);
    this.monitor = new GateMonitor({
      services,
      clock,
      tickets,
      worldId,
      strategyId,
      sdk: config.sdk,
      domainMax: host.domainMax,
      reports,
      connection: host.connection,
      listener: this,
    });
    const { gate, session } = this.monitor;
    this.sender = new TargetSender({
      orders: services.orders,
      clock,
      gate,
      session,
      strategyId,
      targets: graph.targets,
      counts: state,
      reports,
      listener: this,
    });
    this.signals = new SignalMonitor(graph.targets, reports);
    const { sender } = this;
    this.swap = new ContextSwaps(
      { ports, contexts: this, targets: sender, evaluations },
      computeKeys,
      contextIn(submission, worldId),
    );
    this.#trimmer = new RowTrimmer(this.sources, this.swap);
  }

  // ---- Calls from the queues.

  elapsedMs(): number {
    return this.#host.clock.elapsedMs();
  }

  publish(replica: QueueReplica, records: readonly CarriedRecord[]): void {
    this.publishers.publish(replica, records);
  }

  release(
    replica: QueueReplica,
    epoch: number,
    reason: "clean" | "diverged",
    stored: Promise<unknown>,
  ): void {
    this.leases.release(replica, epoch, reason, stored);
  }

  snapshot(replica: QueueReplica): Promise<unknown> {
    return this.swap.storeSnapshot(replica);
  }

  // ---- Events of leases and records.

  /** The lease of a feed is used only with the file its queue was started with: another file is another feed. */
  mayHold(replica: QueueReplica, { feedFingerprint }: NodeLease): boolean {
    if (!replica.identity.isSource || feedFingerprint === "") return true;
    const { run, graph } = this.#host;
    const { name } = replica.identity;
    if (feedFingerprint === graph.feeds.get(name)?.fingerprint) return true;
    const message = `the file of source "${name}" is not the one its queue was started with`;
    run.fail(new QmtlError("FEED_CHANGED", message));
    return false;
  }

  leasesAnswered(): void {
    for (const context of this.swap.contexts) context.compute?.enable();
    this.#host.run.moveOn();
  }

  /** Faults that the fold will show anyway are not reported. */
  recordRefused(fault: RecordFault): void {
    const { run, reports } = this.#host;
    if (fault === RecordFault.FEED_CHANGED) {
      run.fail(new QmtlError("FEED_CHANGED", "the feed has changed"));
    } else if (fault === RecordFault.BLOCKED) {
      reports.problem("the log refuses a record: its queue is blocked");
    } else if (fault === RecordFault.MALFORMED) {
      reports.problem("the log refuses a record: it does not have the shape of its queue");
    }
  }

  // ---- Events of the control stream.

  gateArmed(): void {
    this.sender.armed();
  }

  swapPhase(swap: ContextSwap): void {
    this.#host.run.guard(() => this.swap.phase(swap));
  }

  tagsChanged(): void {
    for (const context of this.swap.contexts) context.askTags();
  }

  feedsDropped(sources: readonly string[]): void {
    this.sets.dropped(sources);
  }

  queuesRestored(): void {
    this.#host.run.fail(logGone("the queues were restored"));
  }

  reconnected(): void {
    this.#host.state.reconnects++;
    this.sender.reconnected();
    this.leases.poke();
    this.tagsChanged();
  }

  // ---- Events of buckets.

  targetsFixed(bucket: ComputedBucket, values: readonly number[], isGateShut: boolean): void {
    const { run, state, calls } = this.#host;
    run.guard(() => {
      state.targetsFixed(bucket, values, isGateShut, this.sources.inputs);
      calls.targetsFixed(bucket, values);
      this.signals.take(bucket);
    });
  }

  bucketEnded({ row, bucketEndMs }: ComputedBucket): void {
    const { run } = this.#host;
    run.guard(() => {
      this.swap.ended(row);
      this.#trimmer.ended(bucketEndMs);
    });
    run.moveOn();
  }

  openContext(
    computeKeys: ReadonlyMap<string, string>,
    of: ComputeContext | undefined,
    listener: ContextListener,
  ): OnlineContext {
    const { graph, options, reports } = this.#host;
    const { sources: entries, cache, sdk } = options.config;
    const onProblem = (problem: string): void => reports.problem(problem);
    const tags = new TagQueryTracker({
      ports: this.#ports,
      graph,
      context: of,
      entries,
      pollMs: sdk.poll_interval_ms,
      tagMap: new TagMapFile(cache.tagquery_cache_path, onProblem),
    });
    const { sources } = this;
    return new OnlineContext({ ports: this.#ports, graph, sources, tags, computeKeys, listener });
  }
}

function checkQueues({ identified }: OnlineGraph, computeKeys: ReadonlyMap<string, string>): void {
  for (const { id, declared } of identified.graph.nodes) {
    if (computeKeys.has(id)) continue;
    throw new QmtlError("QUEUE_NOT_FOUND", `node "${declared.name}" was given no queue`);
  }
}
