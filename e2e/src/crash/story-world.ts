import { ApplyPhase, Gate, type GateState } from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { EffectiveMode } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { PolicyService } from "@qmtl/contracts/qmtl/world/v1/policy_service_pb";
import { RebalancingService } from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import type { Connection } from "@qmtl/sdk/rpc";
import { endOfFeedBar, STORY_POLICY } from "./story-files.ts";
import type { WorldSample } from "./story-record.ts";
import { waitFor } from "./wait-for.ts";

/** World of every story. */
export const STORY_WORLD = "crash";

/** The shortest timers that obey the rules, so that a recovery takes about a second. */
export const STORY_TIMERS = {
  leaseMs: 1_000,
  renewMs: 250,
  marginMs: 150,
  emitMaxMs: 100,
  freezeTimeoutMs: 20_000,
  switchAckMs: 3_000,
  sessionDeadMs: 1_500,
} as const;

/** The world of a story as an operator handles it, over the gateway. */
export class StoryWorld {
  readonly #connection: Connection;
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(): Promise<void> {
    await this.#connection.client(WorldService).createWorld({
      world: {
        worldId: STORY_WORLD,
        clock: WorldClock.REPLAY,
        source: "flips",
        accountId: "main",
        maxLagSeconds: 604_800n,
        allocation: 0.8,
        paperTimers: STORY_TIMERS,
      },
    });
    const policies = this.#connection.client(PolicyService);
    await policies.createPolicy({ worldId: STORY_WORLD, document: STORY_POLICY });
  }

  async allocate(strategyIds: readonly string[]): Promise<void> {
    const strategies = strategyIds.map((strategyId) => ({ strategyId, share: 0.4 }));
    await this.#connection.client(RebalancingService).upsertAllocations({
      runId: "start",
      allocations: [{ worldId: STORY_WORLD, ratio: 0.8, strategies }],
    });
  }

  /** Lets the feed pass its n-th bar and waits until everybody has booked it. */
  async passBar(n: number): Promise<void> {
    const queues = this.#connection.client(QueueService);
    const untilMs = BigInt(endOfFeedBar(n));
    await queues.advanceReplay({ source: "flips", untilMs, toEnd: false });
    await waitFor(`bar ${n} is booked`, async () => {
      const replay = await queues.getReplay({ source: "flips" });
      return replay.passedBucketEndMs >= untilMs && replay.settled ? true : undefined;
    });
  }

  /** Runs an apply to its end; true when it went through. Fails with the platform. */
  async apply(runId: string, to: EffectiveMode, on: readonly string[], off: readonly string[]) {
    const phases = this.#connection.client(ActivationService).apply({
      worldId: STORY_WORLD,
      runId,
      targetMode: to,
      plan: { activate: [...on], deactivate: [...off] },
      reason: "the story",
    });
    let ok = false;
    for await (const phase of phases) ok = phase.ok;
    return ok;
  }

  async cancel(runId: string): Promise<void> {
    const worldId = STORY_WORLD;
    const reason = "the story";
    await this.#connection.client(ActivationService).cancelApply({ worldId, runId, reason });
  }

  async freeze(): Promise<void> {
    const ask = { worldId: STORY_WORLD, hold: "manual", reason: "the story" };
    await this.#connection.client(ActivationService).freeze(ask);
  }

  async resume(hold: string): Promise<void> {
    const ask = { worldId: STORY_WORLD, hold, reason: "the story" };
    await this.#connection.client(ActivationService).resume(ask);
  }

  async gate(): Promise<GateState> {
    const ask = { worldId: STORY_WORLD };
    const { gate } = await this.#connection.client(ActivationService).getActivation(ask);
    if (gate === undefined) throw new Error("no gate in the answer");
    return gate;
  }

  /** Brings the world to rest: runs end, holds are resumed, the gate is open. What it looks like then. */
  settle(): Promise<WorldSample> {
    let seen = "never reached";
    return waitFor(
      () => `the world is open and at rest; it is ${seen}`,
      async () => {
        const gate = await this.gate();
        const worldId = STORY_WORLD;
        const { runs } = await this.#connection
          .client(ActivationService)
          .listApplyRuns({ worldId, pageSize: 5 });
        // The gate's own phase stays at UNFROZEN: COMPLETED makes no revision.
        const ended: readonly number[] = [ApplyPhase.COMPLETED, ApplyPhase.ROLLED_BACK];
        const running = runs.find(({ phase }) => !ended.includes(phase));
        const holds = gate.holds.map(({ name }) => name).join();
        seen = `gate ${gate.gate}, run in phase ${running?.phase ?? 0}, held by ${holds || "nothing"}`;
        if (running !== undefined) return undefined;
        if (gate.gate === Gate.CLOSED) for (const hold of gate.holds) await this.resume(hold.name);
        if (gate.gate !== Gate.OPEN) return undefined;
        const { bindings } = await this.#connection
          .client(WorldService)
          .listBindings({ worldId: STORY_WORLD });
        // A run that began in between would make two halves of one answer.
        const after = await this.gate();
        if (after.revision !== gate.revision) return undefined;
        const { activations } = gate;
        const idsWhere = (ok: (each: (typeof activations)[number]) => boolean): string[] =>
          [...new Set(activations.filter(ok).map((each) => each.strategyId))].sort();
        return {
          revision: Number(gate.revision),
          active: idsWhere((each) => each.active),
          onPaper: bindings
            .filter((each) => each.stage === EffectiveMode.PAPER)
            .map((each) => each.strategyId)
            .sort(),
          effectiveOnPaper: idsWhere(
            (each) => each.active && each.effectiveMode === EffectiveMode.PAPER,
          ),
        };
      },
    );
  }

  /** Waits until the account's books agree with the broker's. */
  async reconcile(): Promise<void> {
    const accounts = this.#connection.client(AccountService);
    await waitFor("the books are reconciled", async () => {
      const { reconciled } = await accounts.reconcile({ accountId: "main" });
      return reconciled ? true : undefined;
    });
  }
}
