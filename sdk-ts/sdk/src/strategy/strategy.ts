import { invalid } from "./declaration-error.ts";
import type { StrategyFill, TargetSignal } from "./events.ts";
import { checkName, checkRows, type IntervalInput, parseInterval } from "./fields.ts";
import { checkOptions, type OptionKeys } from "./option-keys.ts";
import { StrategyNode } from "./strategy-node.ts";

/** Options of the constructor of a strategy. */
export interface StrategyOptions {
  /** Name of the strategy, 1..200 characters. @default the name of its class */
  readonly name?: string | undefined;
  /** Interval of nodes that give none and read no other node. @default none: such a node must give one */
  readonly defaultInterval?: IntervalInput | undefined;
  /** Rows in the windows of nodes that give no period. @default 1 */
  readonly defaultPeriod?: number | undefined;
}

const optionKeys: OptionKeys<StrategyOptions> = {
  name: true,
  defaultInterval: true,
  defaultPeriod: true,
};

/** What a strategy knows while it declares its nodes. */
export interface StrategyContext {
  /** World of the run; `"offline"` in an offline run unless the run names another. */
  readonly worldId: string;
}

/** A list of nodes that belong together. */
export interface NodeSet {
  /** The nodes, in any order; the nodes they read are added with them. */
  readonly nodes: readonly StrategyNode[];
}

/**
 * Base class of an author's strategy: `setup` declares nodes, the callbacks observe the run.
 *
 * Callbacks may be async. Offline they are called one after another, each awaited, in the order of events: `onStart`,
 * then `onFill` and `onSignal` bar by bar, and `onFinish` at the end. If one of them, a node or the data fails,
 * `onError` and then `onFinish` are called, and the run rejects with the same error. Online a failing `onSignal` or
 * `onFill` does not end the run: it is reported as a problem of the run.
 */
export abstract class Strategy {
  /** The given name, otherwise that of the class. */
  readonly name: string;
  /** Default interval of nodes, seconds; undefined if none was given. */
  readonly defaultInterval: number | undefined;
  /** Default period of nodes, rows; undefined if none was given. */
  readonly defaultPeriod: number | undefined;
  #nodes = new Set<StrategyNode>();
  #context: StrategyContext | undefined;

  /**
   * @param options name and defaults of the nodes. @default {}
   * @throws {DeclarationError} naming the field.
   */
  constructor(options: StrategyOptions = {}) {
    checkOptions("Strategy", options, optionKeys);
    const { name, defaultInterval, defaultPeriod } = options;
    if (name === undefined && new.target.name === "") {
      throw invalid("Strategy.name", "is needed: the class has no name of its own");
    }
    this.name = checkName("Strategy.name", name ?? new.target.name);
    this.defaultInterval =
      defaultInterval === undefined
        ? undefined
        : parseInterval("Strategy.defaultInterval", defaultInterval);
    this.defaultPeriod =
      defaultPeriod === undefined ? undefined : checkRows("Strategy.defaultPeriod", defaultPeriod);
  }

  /**
   * Runs `setup` in a context. For runners.
   *
   * @param strategy the strategy; nodes of an earlier call are forgotten
   * @param context what the strategy may know while it declares its nodes
   * @returns the nodes it declared, each once, in the order they were added
   * @throws {DeclarationError} when `setup` is async: nodes added later would be lost.
   */
  static declare(strategy: Strategy, context: StrategyContext): readonly StrategyNode[] {
    strategy.#context = context;
    strategy.#nodes = new Set();
    const answer: unknown = strategy.setup();
    if (answer instanceof Promise) {
      answer.catch(() => {}); // the refusal below explains more
      throw invalid("Strategy.setup", "must not be async; read what it needs in the constructor");
    }
    return [...strategy.#nodes];
  }

  /**
   * Declares the nodes with `addNodes` and `addNodeset`. It is run more than once and must declare the same nodes each
   * time: it must not use a clock, random numbers or a counter, and must not be async.
   */
  abstract setup(): void;

  /** World of this run; a node must not depend on it. @throws {Error} if it is read before `setup`. */
  get worldId(): string {
    if (this.#context === undefined) throw new Error("worldId is known from setup() on");
    return this.#context.worldId;
  }

  /**
   * Adds nodes to the strategy.
   *
   * @param nodes nodes in any order; the nodes they read are added with them, and a node added twice counts once
   * @throws {DeclarationError} when this is not a list of nodes.
   */
  protected addNodes(nodes: readonly StrategyNode[]): void {
    if (!Array.isArray(nodes)) throw invalid("Strategy.addNodes", "takes a list: addNodes([node])");
    for (const node of nodes) {
      if (!(node instanceof StrategyNode)) throw invalid("Strategy.addNodes", "takes nodes");
      this.#nodes.add(node);
    }
  }

  /**
   * Adds the nodes of a set.
   *
   * @param set for example what `makeIntentFirstNodeset` returns
   * @throws {DeclarationError} when this is not a node set.
   */
  protected addNodeset(set: NodeSet): void {
    if (!Array.isArray(set?.nodes)) throw invalid("Strategy.addNodeset", "takes a node set");
    this.addNodes(set.nodes);
  }

  /** Called once when the run begins, before anything is computed. */
  onStart(): void | Promise<void> {}

  /** Called when a target changed, once per change and target node. */
  onSignal(_signal: TargetSignal): void | Promise<void> {}

  /** Called when an order of this strategy was filled, in whole or in part: once per execution. */
  onFill(_fill: StrategyFill): void | Promise<void> {}

  /** Called when the run failed; the run ends with this error. */
  onError(_error: Error): void | Promise<void> {}

  /** Called once when the run has ended, also after an error. */
  onFinish(): void | Promise<void> {}
}
