import type { ExplainedOrders, StrategyOrders } from "../../ports.ts";
import type { WorldPeer } from "../gate/world-peer.ts";
import type { OrderPath } from "../order-path.ts";
import { readStrategyState } from "../strategy-state.ts";
import { ruinToProto } from "./account-routes.ts";
import { decimalOf } from "./order-decimal.ts";
import { haltToProto, shutWorldToProto } from "./order-messages.ts";

/** The part of an ExplainStrategy response that is about orders. */
export class StrategyOrderReader implements StrategyOrders {
  readonly #orders: OrderPath;
  readonly #peer: Pick<WorldPeer, "world">;

  constructor(orders: OrderPath, peer: Pick<WorldPeer, "world">) {
    this.#orders = orders;
    this.#peer = peer;
  }

  async read(worldId: string, strategyId: string): Promise<ExplainedOrders> {
    const state = await readStrategyState(this.#orders, this.#peer, worldId, strategyId);
    const { halts, emitterSessionId, tier, capital, wantedOrders, sentOrders } = state;
    const { signalGaps, shutWorld, ruin } = state;
    return {
      ...state,
      isShutByLateOrder: shutWorld !== undefined,
      fields: {
        halts: halts.map((halt) => haltToProto(halt, halt.stored)),
        emitterSessionId,
        tier,
        ...(shutWorld === undefined ? {} : { shutWorld: shutWorldToProto(shutWorld) }),
        ...(capital === undefined ? {} : { capital: decimalOf(capital) }),
        ...(ruin === undefined ? {} : { ruin: ruinToProto(ruin) }),
        wantedOrders: BigInt(wantedOrders),
        sentOrders: BigInt(sentOrders),
        signalGaps: signalGaps.map(({ strategy, buckets, ...gap }) => {
          return { ...gap, strategyId: strategy, buckets: BigInt(buckets) };
        }),
      },
    };
  }
}
