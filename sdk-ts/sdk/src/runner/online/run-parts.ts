import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { NodeLease } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { RecordFault } from "@qmtl/contracts/qmtl/data/v1/queue_record_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import type { TicketKeeper } from "../../control/index.ts";
import { hasReason, QmtlError } from "../../rpc/qmtl-error.ts";
import { TagMapFile } from "../source-files/tag-map-file.ts";
import type { ComputedBucket } from "./compute/clocks.ts";
import { type ContextListener, OnlineContext } from "./compute/context.ts";
import { RowTrimmer } from "./compute/retention.ts";
import { type ContextOpener, ContextSwaps, type StrategySlice } from "./compute/swap.ts";
import { FeedWatermarks } from "./log/feed-watermarks.ts";
import { HeldLeases, type LeaseListener } from "./log/held-leases.ts";
import { logGone } from "./log/queue-reader.ts";
import type { QueueReplica, ReplicaPort } from "./log/queue-replica.ts";
import type { RunPorts } from "./log/run-ports.ts";
import { type LinkListener, RunnerLink } from "./log/runner-link.ts";
import { OnlineSources, RunnerSets } from "./log/sources.ts";
import { TagQueryTracker } from "./log/tag-query-tracker.ts";
import type { CarriedRecord } from "./log/wire-records.ts";
import { type GateListener, GateMonitor } from "./orders/gate-monitor.ts";
import type { HostedStrategy } from "./orders/hosted-strategy.ts";
import { type SliceListener, TargetSender } from "./orders/target-sender.ts";
import { type ConnectionMonitor, DagManagerMonitor } from "./session/connection-monitor.ts";
import { type MergedGraph, mergeOnlineGraphs, type OnlineGraph } from "./session/graph.ts";
import type { OngoingRun, RunClock, RunTasks } from "./session/ongoing-run.ts";
import type { Evaluations, OnlineOptions } from "./session/online-run.ts";
import type { RunReports } from "./session/run-reporter.ts";
import type { OnlineServices } from "./session/services.ts";
import { contextIn, type SubmittedGraph } from "./session/submission.ts";

/** What the parts of a run are made from: all of it exists before the strategies are submitted. */
interface RunHost {
  readonly run: OngoingRun;
  readonly options: OnlineOptions;
  readonly services: OnlineServices;
  readonly clock: RunClock;
  readonly reports: RunReports;
  readonly tasks: RunTasks;
  readonly counters: RunCounts;
  readonly connection: ConnectionMonitor;
  /** Highest domain in which orders may leave; null: as the world grants. */
  readonly domainMax: ExecutionDomain | null;
  /** The session's tickets; parts are made after the first was issued. */
  readonly tickets: TicketKeeper;
}

/** Counters of a process. */
export interface RunCounts {
  readonly evaluations: Evaluations;
  /** How often the connection came back after a loss. */
  reconnects: number;
}

/**
 * The parts of a run, which exist only after its strategies were submitted, and the calls between them. The constructor
 * starts nothing.
 */
export class RunParts
  implements ReplicaPort, LeaseListener, LinkListener, GateListener, SliceListener, ContextOpener
{
  readonly watermarks = new FeedWatermarks();
  readonly leases: HeldLeases;
  readonly link: RunnerLink;
  readonly sources: OnlineSources;
  readonly sets: RunnerSets;
  readonly monitor: GateMonitor;
  readonly sender: TargetSender;
  readonly swap: ContextSwaps;
  readonly #graph: MergedGraph;
  readonly #trimmer: RowTrimmer;
  readonly #host: RunHost;
  readonly #ports: RunPorts;

  /**
   * @param places the strategies, each with its graph as it was submitted
   * @throws {QmtlError} QUEUE_NOT_FOUND when a node was given no queue
   */
  constructor(
    host: RunHost,
    places: readonly { readonly strategy: HostedStrategy; readonly submitted: SubmittedGraph }[],
  ) {
    const { run, options, services, clock, reports, tasks, tickets, counters } = host;
    const { config, worldId } = options;
    const { data, queues } = services;
    const { evaluations } = counters;
    for (const { strategy, submitted } of places)
      checkQueues(strategy.graph, submitted.computeKeys);
    const strategies = places.map(({ strategy }) => strategy);
    this.#host = host;
    this.#graph = mergeOnlineGraphs(strategies.map(({ graph }) => graph));
    const monitor = new DagManagerMonitor(reports);
    this.leases = new HeldLeases({ queues, clock, tickets, reports, monitor, listener: this });
    const { runners } = services;
    this.link = new RunnerLink({ runners, clock, tickets, reports, listener: this });
    const { leases, link } = this;
    const around = { run, clock, tickets, reports, tasks, replicaPort: this };
    const ports: RunPorts = { ...around, data, queues, leases, link };
    this.#ports = ports;
    this.sources = new OnlineSources({
      ports,
      graph: this.#graph,
      computeKeys: new Map(places.flatMap(({ submitted }) => [...submitted.computeKeys])),
      entries: config.sources,
      evaluations,
    });
    this.sets = new RunnerSets(ports, this.sources);
    this.monitor = new GateMonitor({
      services,
      clock,
      tickets,
      worldId,
      strategies,
      sdk: config.sdk,
      domainMax: host.domainMax,
      reports,
      connection: host.connection,
      listener: this,
    });
    const { gate, session } = this.monitor;
    this.sender = new TargetSender({
      link,
      clock,
      gate,
      session,
      strategies,
      evaluations,
      reports,
      listener: this,
    });
    const { sender } = this;
    const sources = new Set(this.#graph.feeds.keys());
    this.swap = new ContextSwaps(
      { ports, contexts: this, targets: sender, evaluations, sources },
      places.map(({ strategy, submitted: { submission, computeKeys } }) => {
        return { strategy, computeKeys, context: contextIn(submission, worldId) };
      }),
    );
    this.#trimmer = new RowTrimmer(this.sources, this.swap);
  }

  // ---- Calls from the queues.

  elapsedMs(): number {
    return this.#host.clock.elapsedMs();
  }

  publish(replica: QueueReplica, records: readonly CarriedRecord[]): void {
    this.link.publish(replica, records);
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
    const { run } = this.#host;
    const { name } = replica.identity;
    if (feedFingerprint === this.#graph.feeds.get(name)?.fingerprint) return true;
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

  endWanted(): void {
    this.sender.reconnected();
  }

  linkRefused(failure: QmtlError): void {
    const isGone = hasReason(failure, "QUEUE_NOT_FOUND", "TRIMMED");
    this.#host.run.fail(isGone ? logGone(failure) : failure);
  }

  // ---- Events of the control stream.

  gateArmed(strategy: HostedStrategy): void {
    this.sender.armed(strategy);
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
    this.#host.counters.reconnects++;
    this.sender.reconnected();
    this.leases.poke();
    this.tagsChanged();
  }

  // ---- Events of slices.

  targetsFixed(strategy: HostedStrategy, bucket: ComputedBucket, isGateShut: boolean): void {
    const { inputs } = this.sources;
    this.#host.run.guard(() => strategy.targetsFixed(bucket, isGateShut, inputs));
  }

  sliceEnded(slice: StrategySlice): void {
    const { run } = this.#host;
    run.guard(() => {
      this.swap.ended(slice);
      this.#trimmer.ended(slice.bucketEndMs);
    });
    run.moveOn();
  }

  openContext(
    strategies: readonly HostedStrategy[],
    computeKeys: ReadonlyMap<string, string>,
    of: ComputeContext | undefined,
    listener: ContextListener,
  ): OnlineContext {
    const { options, reports } = this.#host;
    const { sources: entries, cache, sdk } = options.config;
    const own = mergeOnlineGraphs(strategies.map((strategy) => strategy.graph));
    // Every context reads the streams of all strategies: they have the same buckets.
    const graph = { ...own, sources: this.#graph.sources };
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
