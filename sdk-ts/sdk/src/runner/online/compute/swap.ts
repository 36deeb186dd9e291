import type { ContextSwap } from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { ComputeContext } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import type { SdkTimer } from "../../../control/index.ts";
import type { QueueReplica } from "../log/queue-replica.ts";
import type { RunPorts } from "../log/run-ports.ts";
import type { Evaluations } from "../session/online-run.ts";
import type { ComputedBucket, ContextBucket, FeedEnd } from "./clocks.ts";
import type { ContextListener, OnlineContext } from "./context.ts";
import { type ComputedStrategy, StrategySwap, type SwapListener } from "./strategy-swap.ts";

interface ContextSwapsOptions {
  readonly ports: RunPorts;
  readonly contexts: ContextOpener;
  readonly targets: SliceTaker;
  /** Counters of evaluations, by purpose; updated here. */
  readonly evaluations: Evaluations;
  /** Entries of `sources:` whose streams every context reads. */
  readonly sources: ReadonlySet<string>;
}

/** A strategy and where its nodes are computed. */
export interface StrategyPlace {
  readonly strategy: ComputedStrategy;
  /** Compute key by node id. */
  readonly computeKeys: ReadonlyMap<string, string>;
  readonly context: ComputeContext | undefined;
}

/** Opens compute contexts. Implemented by `RunParts`. */
export interface ContextOpener {
  /** Opens a context for the computed nodes of these strategies, with these compute keys, without starting it. */
  openContext(
    strategies: readonly ComputedStrategy[],
    computeKeys: ReadonlyMap<string, string>,
    context: ComputeContext | undefined,
    listener: ContextListener,
  ): OnlineContext;
}

/** What the strategies decide at one moment. */
export interface StrategySlice {
  readonly bucketEndMs: number;
  /** Rows of feeds that end with it. */
  readonly ends: readonly FeedEnd[];
  /** Bucket of each strategy. */
  readonly parts: ReadonlyMap<ComputedStrategy, ComputedBucket>;
}

/** Takes the buckets whose targets are to be sent. Implemented by `TargetSender`. */
export interface SliceTaker {
  /** Whether another one can be taken now. */
  readonly hasRoom: boolean;
  push(slice: StrategySlice): void;
}

/** Largest number of buckets of a context that wait for their turn. */
const waitingRowsMax = 64;
/**
 * Strategies that rise to one context at about the same time share it: it is opened once all are there, or none has
 * come for the first time, at most after the second, milliseconds. One that comes later has a context of its own, which
 * reads the rows of nodes that the other one computes.
 */
const gatherMs = 250;
const gatherMsMax = 2_000;

/** Strategies whose nodes are to be computed together. */
interface ContextComposition {
  readonly name: string;
  readonly places: Map<StrategySwap, StrategyPlace>;
  readonly fromMs: number;
  timer: SdkTimer | undefined;
}

/**
 * The compute contexts of a run, and from which of them the targets of each strategy are taken at each bucket. Buckets
 * that end at one moment are handed out together. Strategies are computed together where their nodes have the same
 * compute keys.
 */
export class ContextSwaps implements ContextListener, SwapListener {
  readonly #options: ContextSwapsOptions;
  readonly #swaps = new Map<ComputedStrategy, StrategySwap>();
  /** Open contexts, each with the name of its compute context. */
  readonly #contexts = new Map<OnlineContext, string>();
  /** Waiting buckets of each context, by the end of the previous bucket. */
  readonly #rows = new Map<OnlineContext, Map<number, ContextBucket>>();
  readonly #gatherings = new Set<ContextComposition>();
  readonly #leaving = new Set<Promise<void>>();
  #isStopped = false;

  /** Begins with the contexts in which the strategies are now. */
  constructor(options: ContextSwapsOptions, places: readonly StrategyPlace[]) {
    this.#options = options;
    for (const group of groupsOf(places)) {
      const context = this.#open(group);
      for (const { strategy } of group) {
        this.#swaps.set(strategy, new StrategySwap(strategy, context, options.ports, this));
      }
    }
  }

  /** The contexts from which targets are taken now. */
  get current(): readonly OnlineContext[] {
    const own = [...this.#swaps.values()].filter(({ strategy }) => !strategy.isOut);
    return [...new Set(own.map(({ current }) => current))];
  }

  get contexts(): readonly OnlineContext[] {
    return [...this.#contexts.keys()];
  }

  evaluated(
    context: OnlineContext,
    count: number,
    { parts }: ContextBucket,
    isFirst: boolean,
  ): void {
    const { evaluations } = this.#options;
    const isTurn = [...this.#swaps.values()].some((swap) => {
      const row = parts.get(swap.strategy.graph)?.row;
      return row !== undefined && swap.isTurnOf(context, row);
    });
    if (!isFirst) evaluations.warmup += count;
    else if (isTurn) evaluations.shared += count;
    else evaluations.swap += count;
  }

  warmedUp(count: number): void {
    this.#options.evaluations.warmup += count;
  }

  /** Stores the state of a node after its last row, in the contexts that have its queue. */
  async storeSnapshot(replica: QueueReplica): Promise<void> {
    const own = this.contexts.filter(
      ({ replicas }) => replicas.get(replica.identity.nodeId) === replica,
    );
    await Promise.all(own.map((context) => context.storeSnapshot(replica)));
  }

  hasRoom(context: OnlineContext): boolean {
    const waiting = this.#rows.get(context)?.size ?? 0;
    return this.#options.targets.hasRoom && waiting < waitingRowsMax;
  }

  /** A context computed a bucket. */
  take(context: OnlineContext, bucket: ContextBucket): void {
    if (bucket.bucketEndMs <= this.#handedMs(context)) return;
    let rows = this.#rows.get(context);
    if (rows === undefined) {
      rows = new Map();
      this.#rows.set(context, rows);
    }
    rows.set(bucket.previousEndMs, bucket);
    this.#hand();
    this.warm();
  }

  /** The end of a slice was answered. */
  ended({ parts }: StrategySlice): void {
    let isLeft = false;
    for (const [strategy, { row }] of parts) {
      if (this.#swaps.get(strategy)?.ended(row) === true) isLeft = true;
    }
    if (isLeft) this.#settle();
  }

  /** Answers the DAG Manager for each strategy whose new context has caught up with the sources. */
  warm(): void {
    for (const swap of this.#swaps.values()) swap.warm();
  }

  /** Takes a phase of a swap; see `StrategySwap.phase`. */
  phase(message: ContextSwap): void {
    for (const [{ strategyId }, swap] of this.#swaps) {
      if (strategyId === message.strategyId) swap.phase(message);
    }
  }

  /** Takes strategies out that are no longer computed: the others continue. */
  takeOut(strategies: readonly ComputedStrategy[]): void {
    for (const strategy of strategies) this.#swaps.get(strategy)?.takenOut();
    this.#settle();
    this.turnChanged();
  }

  /** Stops every context; each gives up its leases. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const gathering of this.#gatherings) gathering.timer?.cancel();
    this.#gatherings.clear();
    const contexts = this.contexts.map((context) => context.stop());
    await Promise.all([...contexts, ...this.#leaving]);
    await Promise.all([...this.#swaps.values()].map((swap) => swap.stop()));
  }

  opening(swap: StrategySwap, { keys, newContext }: ContextSwap): void {
    const { strategy } = swap;
    const computeKeys = new Map(keys.map((key) => [key.nodeId, key.newComputeKey]));
    const place = { strategy, computeKeys, context: newContext };
    const { clock } = this.#options.ports;
    const name = nameOf(newContext);
    let gathering = [...this.#gatherings].find((one) => fits([...one.places.values()], place));
    if (gathering === undefined) {
      gathering = { name, places: new Map(), fromMs: clock.elapsedMs(), timer: undefined };
      this.#gatherings.add(gathering);
    }
    gathering.places.set(swap, place);
    this.#gathered(gathering);
  }

  dropped(swap: StrategySwap): void {
    for (const gathering of this.#gatherings) {
      if (!gathering.places.delete(swap) || gathering.places.size > 0) continue;
      gathering.timer?.cancel();
      this.#gatherings.delete(gathering);
    }
    this.#settle();
  }

  turnChanged(): void {
    this.#hand();
    this.#options.ports.run.moveOn();
  }

  next(context: OnlineContext, afterMs: number | undefined): ContextBucket | undefined {
    const rows = this.#rows.get(context);
    return afterMs === undefined ? rows?.values().next().value : rows?.get(afterMs);
  }

  /** Opens the context of strategies that rise together, or waits for more of them. */
  #gathered(gathering: ContextComposition): void {
    const { clock } = this.#options.ports;
    gathering.timer?.cancel();
    const others = [...this.#swaps.values()].filter(
      ({ strategy, current }) => !strategy.isOut && this.#contexts.get(current) !== gathering.name,
    );
    const isAll = others.every((swap) => gathering.places.has(swap));
    const waitedMs = clock.elapsedMs() - gathering.fromMs;
    const open = (): void => this.#options.ports.run.guard(() => this.#openGathered(gathering));
    if (isAll || waitedMs >= gatherMsMax) open();
    else gathering.timer = clock.setTimer(open, Math.min(gatherMs, gatherMsMax - waitedMs));
  }

  #openGathered(gathering: ContextComposition): void {
    this.#gatherings.delete(gathering);
    const { places } = gathering;
    const context = this.#open([...places.values()]);
    for (const swap of places.keys()) swap.opened(context);
    this.#options.ports.tasks.track(context.start());
  }

  #open(places: readonly StrategyPlace[]): OnlineContext {
    const [first] = places;
    const computeKeys = new Map(places.flatMap((place) => [...place.computeKeys]));
    const strategies = places.map(({ strategy }) => strategy);
    const context = this.#options.contexts.openContext(
      strategies,
      computeKeys,
      first?.context,
      this,
    );
    this.#contexts.set(context, nameOf(first?.context));
    return context;
  }

  /** Leaves the contexts that no strategy has any more; takes those that left out of the others. */
  #settle(): void {
    if (this.#isStopped) return;
    for (const context of this.contexts) {
      const used = [...this.#swaps.values()].filter((swap) => swap.contexts.includes(context));
      const kept = new Set(used.map(({ strategy }) => strategy.graph));
      const gone = context.members.filter((graph) => !kept.has(graph));
      if (kept.size === 0) this.#leave(context);
      else if (gone.length > 0) context.remove(new Set(gone));
    }
  }

  #leave(context: OnlineContext): void {
    this.#contexts.delete(context);
    this.#rows.delete(context);
    const left = context.stop().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
  }

  /** End up to which every strategy that a context computes has its buckets; −∞ for none. */
  #handedMs(context: OnlineContext): number {
    const own = [...this.#swaps.values()].filter((swap) => swap.contexts.includes(context));
    return own.length === 0 ? Number.NEGATIVE_INFINITY : Math.min(...own.map((o) => o.handedMs));
  }

  /** Hands out the buckets whose turn it is. */
  #hand(): void {
    for (let slice = this.#nextSlice(); slice !== undefined; slice = this.#nextSlice()) {
      for (const [strategy, bucket] of slice.parts) this.#swaps.get(strategy)?.handed(bucket);
      for (const [context, rows] of this.#rows) {
        const handedMs = this.#handedMs(context);
        for (const [at, { bucketEndMs }] of rows) if (bucketEndMs <= handedMs) rows.delete(at);
      }
      this.#options.targets.push(slice);
    }
  }

  /** The next moment of which everything is computed; undefined while that is not so. */
  #nextSlice(): StrategySlice | undefined {
    const chosen: [StrategySwap, ContextBucket][] = [];
    const waiting: StrategySwap[] = [];
    let bucketEndMs = Number.POSITIVE_INFINITY;
    for (const swap of this.#swaps.values()) {
      if (swap.strategy.isOut) continue;
      const bucket = swap.choice();
      if (bucket === undefined) waiting.push(swap);
      else {
        chosen.push([swap, bucket]);
        bucketEndMs = Math.min(bucketEndMs, bucket.bucketEndMs);
      }
    }
    const parts = new Map<ComputedStrategy, ComputedBucket>();
    const ends = new Map<string, FeedEnd>();
    for (const [{ strategy }, bucket] of chosen) {
      if (bucket.bucketEndMs !== bucketEndMs) continue;
      const part = bucket.parts.get(strategy.graph);
      if (part !== undefined) parts.set(strategy, part);
      for (const end of bucket.ends) ends.set(end.source, end);
    }
    if (parts.size === 0) return undefined;
    // All contexts have the rows of the strategies' streams; what only a query found may be one context's alone.
    const { sources } = this.#options;
    const isWaiting = waiting.some((swap) => !swap.isPast(bucketEndMs));
    if (isWaiting && [...ends.keys()].some((source) => sources.has(source))) return undefined;
    return { bucketEndMs, ends: [...ends.values()], parts };
  }
}

/** Strategies in groups that are computed together. */
function groupsOf(places: readonly StrategyPlace[]): StrategyPlace[][] {
  const groups: StrategyPlace[][] = [];
  for (const place of places) {
    const group = groups.find((one) => fits(one, place));
    if (group === undefined) groups.push([place]);
    else group.push(place);
  }
  return groups;
}

/**
 * Whether a strategy can be computed together with others: their nodes have the same compute keys, and none asks for
 * queues by tag, which depends on the pins of the strategy alone.
 */
function fits(group: readonly StrategyPlace[], place: StrategyPlace): boolean {
  return group.every(({ strategy, computeKeys, context }) => {
    if (strategy.graph.queries.length > 0 || place.strategy.graph.queries.length > 0) return false;
    if (nameOf(context) !== nameOf(place.context)) return false;
    return [...place.computeKeys].every(([id, key]) => (computeKeys.get(id) ?? key) === key);
  });
}

function nameOf(context: ComputeContext | undefined): string {
  return context === undefined ? "" : `${context.executionDomain} ${context.partition}`;
}
