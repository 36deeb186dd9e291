import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { ExecutionDomain } from "@qmtl/core/gate";
import type { TicketKeeper } from "../control/index.ts";
import { QmtlError } from "../rpc/qmtl-error.ts";
import { logGone } from "../sources/queue-reader.ts";
import { GateWatch } from "./gate-watch.ts";
import { OnlineContext } from "./online-context.ts";
import type { OnlineGraph } from "./online-graph.ts";
import type { OnlineEvent, OnlineOptions } from "./online-run.ts";
import type { OnlineRunState } from "./online-run-state.ts";
import type { OnlineServices } from "./online-services.ts";
import { OnlineSources } from "./online-sources.ts";
import { contextIn, type SubmittedGraph } from "./online-submission.ts";
import { OnlineSwap } from "./online-swap.ts";
import type { ReachWatch } from "./reach-watch.ts";
import type { RunPorts } from "./run-ports.ts";
import { RunnerSets } from "./runner-sets.ts";
import type { StrategyCalls } from "./strategy-calls.ts";
import { TagMapFile } from "./tag-map-file.ts";
import { TagQueryTracker } from "./tag-query-tracker.ts";
import { targetReason } from "./target-reason.ts";
import { TargetSender } from "./target-sender.ts";

/** What of a run there is once its strategy was submitted. */
export interface RunParts {
  readonly strategyId: string;
  readonly watch: GateWatch;
  readonly sources: OnlineSources;
  readonly sets: RunnerSets;
  readonly sender: TargetSender;
  readonly swap: OnlineSwap;
}

/** The run the parts belong to. */
export interface RunHost {
  readonly graph: OnlineGraph;
  readonly options: OnlineOptions;
  readonly ports: RunPorts;
  readonly services: OnlineServices;
  readonly state: OnlineRunState;
  readonly calls: StrategyCalls;
  readonly reach: ReachWatch;
  /** Highest domain orders leave in; null: as the world grants. */
  readonly domainMax: ExecutionDomain | null;
  /** The session's tickets; parts are made after the first was given. */
  readonly tickets: TicketKeeper;
  /** The parts, once they are made. */
  parts(): RunParts | undefined;
  tell(kind: OnlineEvent["kind"], message: string, row?: number): void;
  /** Does work whose failure ends the run. */
  guard(work: () => void): void;
  /** Moves everything on that can move. */
  pump(): void;
}

/**
 * Makes the parts of a run and ties them together; nothing is started.
 *
 * @throws {QmtlError} QUEUE_NOT_FOUND when a node was given no queue
 */
export function makeRunParts(host: RunHost, submitted: SubmittedGraph): RunParts {
  const { graph, options, ports, state } = host;
  const { worldId, config } = options;
  const { submission, computeKeys } = submitted;
  const { strategyId } = submission;
  for (const { id, declared } of graph.identified.graph.nodes) {
    if (computeKeys.has(id)) continue;
    throw new QmtlError("QUEUE_NOT_FOUND", `node "${declared.name}" was given no queue`);
  }
  const sources = new OnlineSources({
    ports,
    graph,
    computeKeys,
    speedOf: (source) => config.sources[source]?.speed ?? "max",
    onProduced: () => {
      state.evaluations.shared++;
    },
    onChange: () => host.pump(),
  });
  const watch = openGate(host, strategyId);
  const sets = new RunnerSets({ ports, onEntered: (source) => sources.claim(source) });
  const sender = openTargetSender(host, strategyId, watch);
  const swap = new OnlineSwap(
    openContext(host, sources, computeKeys, contextIn(submission, worldId)),
    {
      ports,
      open: (keys, context) => openContext(host, sources, keys, context),
      onRow: (bucket) => sender.push(bucket),
      onPhase: (message, row) => host.tell("swap", message, row),
      onChange: () => host.pump(),
    },
  );
  return { strategyId, watch, sources, sets, sender, swap };
}

function openGate(host: RunHost, strategyId: string): GateWatch {
  const { ports, services, options, state, reach } = host;
  const askTags = (): void => {
    for (const context of host.parts()?.swap.contexts ?? []) context.askTags();
  };
  return new GateWatch(
    {
      services,
      clock: ports.clock,
      worldId: options.worldId,
      strategyId,
      tickets: host.tickets,
      sdk: options.config.sdk,
      domainMax: host.domainMax,
      tell: (kind, message) => host.tell(kind, message),
      onArmed: () => host.parts()?.sender.armed(),
      onSwap: (swap) => host.guard(() => host.parts()?.swap.phase(swap)),
      onTags: askTags,
      onUnregistered: (sources) => host.parts()?.sets.dropped(sources),
      onQueuesRestored: () => ports.onGone(logGone("the queues were restored")),
      onReconnected: () => {
        state.reconnects++;
        host.parts()?.sender.reconnected();
        ports.leases.poke();
        askTags();
      },
    },
    reach,
  );
}

function openTargetSender(
  host: RunHost,
  strategyId: string,
  { gate, session }: GateWatch,
): TargetSender {
  const { ports, services, graph, state, calls } = host;
  return new TargetSender({
    orders: services.orders,
    clock: ports.clock,
    gate,
    strategyId,
    targets: graph.targets,
    ticket: () => session.ticket,
    onTicketRefused: (ticket) => session.dropTicket(ticket),
    onEffects: (effects) => session.follow(effects, ""),
    onDecided: (bucket, values, isShut) =>
      host.guard(() => {
        state.decided(bucket, values, isShut, host.parts()?.sources.inputs ?? []);
        calls.decided(bucket, values);
      }),
    counts: () => state.counts(),
    onSent: ({ value }, { row }, ids, reason) => {
      const why = reason === "" ? "" : `: ${targetReason(reason)}`;
      host.tell("target_sent", `target ${value}, ${ids.length} orders${why}`, row);
    },
    onRefused: ({ target, value }, reason) =>
      host.tell(
        "target_refused",
        `target ${value} of ${target.instrument}: ${targetReason(reason)}`,
      ),
    onEnded: ({ row }) => {
      host.guard(() => host.parts()?.swap.ended(row));
      host.pump();
    },
    onProblem: ports.onProblem,
  });
}

function openContext(
  host: RunHost,
  sources: OnlineSources,
  computeKeys: ReadonlyMap<string, string>,
  of: ComputeContext | undefined,
): OnlineContext {
  const { ports, graph, state, options } = host;
  const { evaluations } = state;
  const { sources: entries, cache } = options.config;
  const tags = new TagQueryTracker({
    ports,
    graph,
    context: of,
    scheduleOf: (source) => entries[source]?.schedule,
    pollMs: options.config.sdk.poll_interval_ms,
    tagMap: new TagMapFile(cache.tagquery_cache_path, ports.onProblem),
    onRecords: () => host.pump(),
    onChange: () => host.guard(() => context.rewire()),
  });
  const context: OnlineContext = new OnlineContext({
    ports,
    graph,
    sources,
    tags,
    computeKeys,
    onRow: (from, bucket) => host.parts()?.swap.take(from, bucket),
    onEvaluated: (from, count, { row }, isFirst) => {
      if (!isFirst) evaluations.warmup += count;
      else if (host.parts()?.swap.isExtra(from, row) === true) evaluations.swap += count;
      else evaluations.shared += count;
    },
    onWarmup: (count) => {
      evaluations.warmup += count;
    },
    onTakeover: (names, row) =>
      host.tell("takeover", `computes ${names.join(", ")} from row ${row + 1} on`, row),
    onDiverged: (name, row) =>
      host.tell("diverged", `node "${name}" differs from the log; it is followed`, row),
    hasRoom: (from) => {
      const parts = host.parts();
      return parts?.sender.hasRoom === true && parts.swap.hasRoom(from);
    },
    onChange: () => host.pump(),
  });
  return context;
}
