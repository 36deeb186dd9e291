import { Code } from "@connectrpc/connect";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import type { Binding } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  type Clock,
  type ClockTimer,
  failpoints,
  KeyedSerialQueue,
  type Logger,
} from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { bindingsOf } from "../peers/bindings-of.ts";
import { isTransient } from "../peers/breaker.ts";
import type { Peer } from "../peers/peer.ts";
import type { RunListener } from "../ports.ts";
import { submissionsOf } from "../store/submission-store.ts";
import {
  type ClaimedUnbinding,
  claimUnbinding,
  dueUnbindings,
  noteUnbinding,
  recheckUnbindings,
  releaseUnbinding,
  setMayBeClosed,
  type Unbinding,
  withdrawUnbinding,
} from "../store/unbinding-store.ts";
import { contextAt } from "../submission/plan-contexts.ts";

/** Longest wait for a peer, milliseconds; three calls fit into the time for which an unbinding is claimed. */
const callMs = 2_000;
const ownMs = 10_000;
/** How often to look for unbindings that a process did not finish, milliseconds. */
const sweepMs = 2_000;
/**
 * Longest duration of a call that removes a binding, milliseconds: until then, a binding that still exists may be
 * removed.
 */
const inFlightMsMax = 120_000;

interface UnboundContextsPorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly world: Peer;
  readonly dag: Peer;
  /** Acts for the gateway itself. */
  readonly gateway: CallPrincipal;
  readonly gatewayId: string;
  readonly runs: Pick<RunListener, "bindingsChanged">;
}

/**
 * Closes the compute context of a strategy in a world once its binding is gone, and opens it when it is bound again.
 * The binding decides: a row is written before it is removed, and the process that finds the row, now or after a crash,
 * asks WorldService and makes the DAG Manager follow.
 */
export class UnboundContexts {
  readonly #ports: UnboundContextsPorts;
  /** One at a time per strategy of a world. */
  readonly #turns = new KeyedSerialQueue();
  #timer: ClockTimer | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(ports: UnboundContextsPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#sweeping = this.#sweep();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#sweeping;
    await this.#turns.idle();
  }

  /** Removes a binding; its context is closed then, or soon after if the DAG Manager does not answer. */
  unbind<T>(unbinding: Unbinding, remove: () => Promise<T>): Promise<T> {
    return this.#remove([unbinding], remove);
  }

  /** Removes a world with all its bindings. */
  async unbindAll<T>(worldId: string, remove: () => Promise<T>): Promise<T> {
    const { world, gateway } = this.#ports;
    const bindings = await bindingsOf(world, worldId, { principal: gateway, timeoutMs: callMs });
    const gone = bindings.map(({ strategyId }) => ({ worldId, strategyId }));
    return this.#remove(gone, remove);
  }

  async #remove<T>(unbindings: readonly Unbinding[], remove: () => Promise<T>): Promise<T> {
    const { db, clock } = this.#ports;
    const noted: { readonly unbinding: Unbinding; readonly asked: number }[] = [];
    for (const unbinding of unbindings) {
      noted.push({ unbinding, asked: await noteUnbinding(db, unbinding, clock.nowMs()) });
    }
    const settleAll = () => Promise.all(unbindings.map((each) => this.settle(each)));
    try {
      const answer = await remove();
      await failpoints.hit("gw.unbind.after_removal");
      await settleAll();
      return answer;
    } catch (failure) {
      if (hasReason(failure, "BINDING_NOT_FOUND", "WORLD_NOT_FOUND")) await settleAll();
      else if (isRefusal(failure)) {
        for (const { unbinding, asked } of noted) await withdrawUnbinding(db, unbinding, asked);
      }
      throw failure;
    }
  }

  /** Binds strategies; the contexts of those that were unbound before are opened. */
  async bind<T>(
    worldId: string,
    strategyIds: readonly string[],
    bind: () => Promise<T>,
  ): Promise<T> {
    const known = await this.recheck(worldId, strategyIds);
    const answer = await bind();
    await Promise.all(known.map((each) => this.settle(each)));
    return answer;
  }

  /**
   * Has those of the strategies checked again that were unbound before: their contexts may have been opened. Resolves
   * to them.
   */
  recheck(worldId: string, strategyIds: readonly string[]): Promise<Unbinding[]> {
    const { db, clock } = this.#ports;
    return recheckUnbindings(db, worldId, strategyIds, clock.nowMs());
  }

  /** Makes the context follow the binding; if that fails now, the sweep does it. */
  settle(unbinding: Unbinding): Promise<void> {
    const key = JSON.stringify([unbinding.worldId, unbinding.strategyId]);
    return this.#turns.run([key], () => this.#settle(unbinding));
  }

  async #sweep(): Promise<void> {
    const { db, clock, logger } = this.#ports;
    try {
      for (const due of await dueUnbindings(db, clock.nowMs())) {
        if (this.#isStopped) return;
        await this.settle(due);
      }
    } catch (error) {
      logger.warn("looking for unbound strategies failed", { error });
    }
    if (this.#isStopped) return;
    this.#timer = clock.setTimer(() => {
      this.#sweeping = this.#sweep();
    }, sweepMs);
  }

  async #settle(unbinding: Unbinding): Promise<void> {
    const { db, clock, logger, gatewayId } = this.#ports;
    try {
      const times = { nowMs: clock.nowMs(), ownMs };
      const claimed = await claimUnbinding(db, unbinding, gatewayId, times);
      if (claimed === undefined) return;
      let end: Parameters<typeof releaseUnbinding>[3] = "again";
      try {
        end = await this.#follow(claimed);
      } finally {
        await releaseUnbinding(db, claimed, gatewayId, end);
      }
    } catch (error) {
      logger.warn("the context of a strategy does not yet follow its binding", {
        ...unbinding,
        error,
      });
    }
  }

  async #follow(claimed: ClaimedUnbinding): Promise<"done" | "again" | "closed"> {
    const { db, dag, gateway, clock, runs } = this.#ports;
    const binding = await this.#bindingOf(claimed);
    runs.bindingsChanged(claimed.worldId);
    if (binding !== undefined) {
      if (claimed.mayBeClosed) await this.#open(claimed, binding);
      return clock.nowMs() - claimed.askedMs > inFlightMsMax ? "done" : "again";
    }
    await setMayBeClosed(db, claimed, true);
    const { worldId, strategyId } = claimed;
    const request = { worldId, strategyId };
    await failpoints.hit("gw.unbind.before_close");
    const call = { principal: gateway, timeoutMs: callMs };
    const { closed } = await dag.unary(QueueService.method.closeContext, request, call);
    // Bound again meanwhile: its submission may have opened the context before it was closed.
    const again = await this.#bindingOf(claimed);
    if (again === undefined) return closed || claimed.mayBeClosed ? "closed" : "done";
    await this.#open(claimed, again);
    return "again";
  }

  async #bindingOf({ worldId, strategyId }: Unbinding): Promise<Binding | undefined> {
    const { world, gateway } = this.#ports;
    const call = { principal: gateway, timeoutMs: callMs };
    try {
      const bindings = await bindingsOf(world, worldId, call);
      return bindings.find((each) => each.strategyId === strategyId);
    } catch (failure) {
      if (hasReason(failure, "WORLD_NOT_FOUND")) return undefined;
      throw failure;
    }
  }

  async #open({ worldId, strategyId }: Unbinding, { stage }: Binding): Promise<void> {
    const { db, dag, gateway } = this.#ports;
    const rows = await submissionsOf(db, [strategyId]);
    const row = rows.find((each) => each.worldIds.includes(worldId));
    // Bound by hand, never submitted here: there is nothing to compute.
    if (row === undefined) return;
    const request = { strategyId, context: contextAt(worldId, stage, row.request) };
    const call = { principal: gateway, timeoutMs: callMs };
    try {
      await dag.unary(QueueService.method.openContext, request, call);
    } catch (failure) {
      // Its submission is still on its way, and opens it.
      if (!hasReason(failure, "STRATEGY_NOT_FOUND")) throw failure;
    }
    await setMayBeClosed(db, { worldId, strategyId }, false);
  }
}

/** Whether the peer answered with a refusal, so that nothing was removed. */
function isRefusal(failure: unknown): boolean {
  return failure instanceof QmtlError && !isTransient(failure) && failure.code !== Code.Internal;
}
