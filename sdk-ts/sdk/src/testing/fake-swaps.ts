import { create } from "@bufbuild/protobuf";
import {
  type ContextSwap,
  ContextSwapSchema,
  type SwapAnswer,
  SwapPhase,
} from "@qmtl/contracts/qmtl/control/v1/context_swap_pb";
import type { FakeGraphs } from "./fake-graphs.ts";

/** Context swaps in memory, with one runner per strategy. */
export class FakeSwaps {
  readonly #swaps = new Map<string, ContextSwap>();
  readonly #worldId: string;
  readonly #graphs: FakeGraphs;

  constructor(worldId: string, graphs: FakeGraphs) {
    this.#worldId = worldId;
    this.#graphs = graphs;
  }

  get all(): Iterable<ContextSwap> {
    return this.#swaps.values();
  }

  /** Opens a swap of a strategy to domain `dryrun`. */
  open(strategyId: string): void {
    const { nodes } = this.#graphs.graph(strategyId);
    const computed = nodes.filter((node) => node.source === undefined);
    const swap = create(ContextSwapSchema, {
      swapId: `swap-${this.#swaps.size + 1}`,
      strategyId,
      worldId: this.#worldId,
      phase: SwapPhase.OPENING,
      keys: computed.map(({ nodeId }) => ({
        nodeId,
        oldComputeKey: this.#graphs.key(nodeId, "backtest"),
        newComputeKey: this.#graphs.key(nodeId, "dryrun"),
      })),
    });
    this.#swaps.set(strategyId, swap);
  }

  phase(strategyId: string): SwapPhase | undefined {
    return this.#swaps.get(strategyId)?.phase;
  }

  /**
   * Takes an answer of the runner: a warm one in OPENING leads to PREPARE, one in PREPARE to COMMIT, or to a later row
   * if the row was ended already.
   */
  answer(request: SwapAnswer, passedRow: number): ContextSwap {
    const swap = [...this.#swaps.values()].find((one) => one.swapId === request.swapId)!;
    const isWarm = Number(request.warmRow) >= passedRow - 2;
    if (swap.phase === SwapPhase.OPENING && request.phase === SwapPhase.OPENING && isWarm) {
      swap.phase = SwapPhase.PREPARE;
      swap.fromRow = BigInt(passedRow + 2);
    } else if (swap.phase === SwapPhase.PREPARE && request.phase === SwapPhase.PREPARE) {
      if (request.endedRow >= swap.fromRow) swap.fromRow = BigInt(passedRow + 2);
      else swap.phase = SwapPhase.COMMIT;
    }
    return swap;
  }
}
