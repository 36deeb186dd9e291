import { invalid } from "./declaration-error.ts";
import type { StrategyFill, TargetSignal } from "./events.ts";
import { checkName, checkRows, type IntervalInput, parseInterval } from "./fields.ts";
import { StrategyNode } from "./strategy-node.ts";

/** What a strategy may be constructed with. */
export interface StrategyOptions {
  /** @default the class name */
  readonly name?: string | undefined;
  /** Interval of nodes that leave it out. */
  readonly defaultInterval?: IntervalInput | undefined;
  /** Period of nodes that leave it out. */
  readonly defaultPeriod?: number | undefined;
}

/** What a strategy can know while it declares its nodes. */
export interface StrategyContext {
  /** World of the run; `"offline"` in an offline run unless the run names another. */
  readonly worldId: string;
}

/** A list of nodes that belong together. */
export interface NodeSet {
  /** The nodes, inputs before readers or not; what they read comes with them. */
  readonly nodes: readonly StrategyNode[];
}

/**
 * What an author writes: `setup` declares nodes, the callbacks watch the run.
 *
 * Callbacks may be async. Offline they are called one after another, each awaited, in the order things happened:
 * `onStart`, then `onFill` and `onSignal` by bar, at the end `onFinish`; if one of them, a node or the data fail,
 * `onError` and then `onFinish`, and the run rejects with the same error. Online a failing `onSignal` or `onFill` does
 * not end the run: it is told as a problem of the run.
 */
export abstract class Strategy {
  /** The given name, else the class's. */
  readonly name: string;
  /** Seconds; undefined when none was given. */
  readonly defaultInterval: number | undefined;
  /** Rows; undefined when none was given. */
  readonly defaultPeriod: number | undefined;
  #nodes = new Set<StrategyNode>();
  #context: StrategyContext | undefined;

  /** @throws {DeclarationError} naming the field. */
  constructor(options: StrategyOptions = {}) {
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
   * Runs `setup` in a context and returns the nodes it declared, in order. For runners.
   * @throws {DeclarationError} when `setup` is async: nodes added later would be lost.
   */
  static declare(strategy: Strategy, context: StrategyContext): readonly StrategyNode[] {
    strategy.#context = context;
    strategy.#nodes = new Set();
    const answer: unknown = strategy.setup();
    if (answer instanceof Promise) {
      answer.catch(() => {}); // the refusal below tells more
      throw invalid("Strategy.setup", "must not be async; read what it needs in the constructor");
    }
    return [...strategy.#nodes];
  }

  /**
   * Declares the nodes with `addNodes` and `addNodeset`. It is run more than once and must declare the same nodes each
   * time: no clock, no chance, no counter, nothing that waits.
   */
  abstract setup(): void;

  /** World this run belongs to. A node must not depend on it. @throws {Error} before `setup`. */
  get worldId(): string {
    if (this.#context === undefined) throw new Error("worldId is known from setup() on");
    return this.#context.worldId;
  }

  /** Adds nodes; whatever they read comes with them, a node added twice is one. @throws {DeclarationError} */
  protected addNodes(nodes: readonly StrategyNode[]): void {
    if (!Array.isArray(nodes)) throw invalid("Strategy.addNodes", "takes a list: addNodes([node])");
    for (const node of nodes) {
      if (!(node instanceof StrategyNode)) throw invalid("Strategy.addNodes", "takes nodes");
      this.#nodes.add(node);
    }
  }

  /** Adds the nodes of a set, for example of `makeIntentFirstNodeset`. @throws {DeclarationError} */
  protected addNodeset(set: NodeSet): void {
    if (!Array.isArray(set?.nodes)) throw invalid("Strategy.addNodeset", "takes a node set");
    this.addNodes(set.nodes);
  }

  /** The run begins: nothing is computed yet. */
  onStart(): void | Promise<void> {}

  /** A target changed; called once per change and target node. */
  onSignal(_signal: TargetSignal): void | Promise<void> {}

  /** An order of this strategy was filled, in whole or in part; called once per execution. */
  onFill(_fill: StrategyFill): void | Promise<void> {}

  /** The run failed; it ends with this error. */
  onError(_error: Error): void | Promise<void> {}

  /** The run ended, also after an error. */
  onFinish(): void | Promise<void> {}
}
