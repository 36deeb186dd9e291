import { invalid } from "./declaration-error.ts";
import type { StrategyFill, TargetSignal } from "./events.ts";
import { checkName, checkRows, type IntervalInput, parseInterval } from "./fields.ts";
import { StrategyNode } from "./strategy-node.ts";

/** What a strategy may be constructed with. */
export interface StrategyOptions {
  /** @default the class name */
  readonly name?: string;
  /** Interval of nodes that leave it out. */
  readonly defaultInterval?: IntervalInput;
  /** Period of nodes that leave it out. */
  readonly defaultPeriod?: number;
}

/** What a strategy can know while it declares its nodes. */
export interface StrategyContext {
  readonly worldId: string;
}

/** A list of nodes that belong together. */
export interface NodeSet {
  readonly nodes: readonly StrategyNode[];
}

/** What an author writes: `setup` declares nodes, the callbacks watch the run. */
export abstract class Strategy {
  readonly name: string;
  readonly defaultInterval: number | undefined;
  readonly defaultPeriod: number | undefined;
  #nodes: StrategyNode[] = [];
  #context: StrategyContext | undefined;

  /** @throws {DeclarationError} naming the field. */
  constructor(options: StrategyOptions = {}) {
    const { name, defaultInterval, defaultPeriod } = options;
    this.name = checkName("Strategy.name", name ?? new.target.name);
    this.defaultInterval =
      defaultInterval === undefined
        ? undefined
        : parseInterval("Strategy.defaultInterval", defaultInterval);
    this.defaultPeriod =
      defaultPeriod === undefined ? undefined : checkRows("Strategy.defaultPeriod", defaultPeriod);
  }

  /** Runs `setup` in a context and returns the nodes it declared, in order. For runners. */
  static declare(strategy: Strategy, context: StrategyContext): readonly StrategyNode[] {
    strategy.#context = context;
    strategy.#nodes = [];
    strategy.setup();
    return strategy.#nodes;
  }

  /** Declares the nodes with {@link addNodes}. Must declare the same nodes each time. */
  abstract setup(): void;

  /** World this run belongs to. @throws {Error} before `setup`. */
  get worldId(): string {
    if (this.#context === undefined) throw new Error("worldId is known from setup() on");
    return this.#context.worldId;
  }

  /** Adds nodes; whatever they read comes with them. */
  protected addNodes(nodes: readonly StrategyNode[]): void {
    for (const node of nodes) {
      if (!(node instanceof StrategyNode)) throw invalid("Strategy.addNodes", "takes nodes");
      if (!this.#nodes.includes(node)) this.#nodes.push(node);
    }
  }

  /** Adds the nodes of a set. */
  protected addNodeset(set: NodeSet): void {
    this.addNodes(set.nodes);
  }

  /** The run begins. */
  onStart(): void | Promise<void> {}

  /** A target changed. */
  onSignal(_signal: TargetSignal): void | Promise<void> {}

  /** An order of this strategy was filled. */
  onFill(_fill: StrategyFill): void | Promise<void> {}

  /** The run failed. */
  onError(_error: Error): void | Promise<void> {}

  /** The run ended, also after an error. */
  onFinish(): void | Promise<void> {}
}
