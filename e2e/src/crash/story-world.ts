import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  ApplyPhase,
  Gate,
  type GateState,
  HoldKind,
} from "@qmtl/contracts/qmtl/control/v1/gate_pb";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { EffectiveMode, Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
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

/** Seconds until a decision expires; it is refreshed at half of that. */
export const STORY_TTL_SECONDS = 12;

/** The shortest timers that are valid, so that a recovery takes about a second; a slow restart still resumes a run. */
export const STORY_TIMERS = {
  leaseMs: 1_000,
  renewMs: 250,
  marginMs: 150,
  emitMaxMs: 100,
  freezeTimeoutMs: 120_000,
  switchAckMs: 3_000,
  sessionDeadMs: 1_500,
} as const;

/** Lease to which the deed `lease` changes the world's, milliseconds. */
export const LONG_LEASE_MS = 1_250;

const REASON = "the story";

/** The world of a story, operated through the gateway. */
export class StoryWorld {
  readonly #connection: Connection;
  readonly #signal: AbortSignal;

  /** Every call and wait ends when `signal` aborts. */
  constructor(connection: Connection, signal: AbortSignal) {
    this.#connection = connection;
    this.#signal = signal;
  }

  async create(): Promise<void> {
    const ask = {
      world: {
        worldId: STORY_WORLD,
        clock: WorldClock.REPLAY,
        source: "flips",
        accountId: "main",
        maxLag: durationFromMs(604_800_000),
        decisionTtl: durationFromMs(STORY_TTL_SECONDS * 1_000),
        paperTimers: {
          lease: durationFromMs(STORY_TIMERS.leaseMs),
          renewInterval: durationFromMs(STORY_TIMERS.renewMs),
          margin: durationFromMs(STORY_TIMERS.marginMs),
          emitMax: durationFromMs(STORY_TIMERS.emitMaxMs),
          freezeTimeout: durationFromMs(STORY_TIMERS.freezeTimeoutMs),
          switchAck: durationFromMs(STORY_TIMERS.switchAckMs),
          sessionDead: durationFromMs(STORY_TIMERS.sessionDeadMs),
        },
      },
      requestId: "story",
    };
    await this.#connection.client(WorldService).createWorld(ask, this.#call());
    const policies = this.#connection.client(PolicyService);
    const policy = { worldId: STORY_WORLD, document: STORY_POLICY, requestId: "story" };
    await policies.createPolicy(policy, this.#call());
  }

  async allocate(strategyIds: readonly string[]): Promise<void> {
    const strategies = strategyIds.map((strategyId) => ({ strategyId, share: 0.4 }));
    const ask = {
      requestId: "start",
      allocations: [{ worldId: STORY_WORLD, ratio: 0.8, strategies }],
      reason: REASON,
    };
    await this.#connection.client(RebalancingService).upsertAllocations(ask, this.#call());
  }

  /** Lets the feed pass its n-th bar and waits until the feed is settled there. */
  async passBar(n: number): Promise<void> {
    const queues = this.#connection.client(QueueService);
    const untilMs = endOfFeedBar(n);
    const scope = { scope: { case: "source" as const, value: "flips" } };
    const to = { case: "untilTime" as const, value: timestampFromMs(untilMs) };
    await queues.advanceFeed({ scope, to }, this.#call());
    let seen = "";
    await this.#until(
      () => `bar ${n} is booked; ${seen}`,
      async () => {
        const [feed] = (await queues.listFeeds({ scope }, this.#call())).feeds;
        if (feed === undefined) return undefined;
        const { passedRow, passedBucketEndTime, settled, runners, droppedSessionIds } = feed;
        const ends = runners.map((each) => String(each.endedRow));
        seen = `row ${passedRow} passed, settled ${settled}, ended by its runners: ${ends.join()}, ${droppedSessionIds.length} dropped`;
        const passedMs = passedBucketEndTime === undefined ? 0 : timestampMs(passedBucketEndTime);
        return passedMs >= untilMs && settled ? true : undefined;
      },
    );
  }

  /** Runs an apply to its end; true when it completed. `onPhase` is called for each phase as it is committed. */
  async apply(
    runId: string,
    plan: { to: EffectiveMode; on: readonly string[]; off: readonly string[] },
    onPhase: () => void = () => {},
  ): Promise<boolean> {
    const ask = {
      worldId: STORY_WORLD,
      runId,
      targetMode: plan.to,
      plan: { activate: [...plan.on], deactivate: [...plan.off] },
      reason: REASON,
    };
    let last: ApplyPhase = ApplyPhase.ROLLED_BACK;
    for await (const { phase } of this.#activation.apply(ask, this.#call())) {
      last = phase;
      onPhase();
    }
    return last !== ApplyPhase.ROLLED_BACK;
  }

  async cancel(runId: string): Promise<void> {
    const ask = { worldId: STORY_WORLD, runId, reason: REASON };
    await this.#activation.cancelApply(ask, this.#call());
  }

  async unbind(strategyId: string): Promise<void> {
    const ask = { worldId: STORY_WORLD, strategyId, reason: REASON };
    await this.#connection.client(WorldService).deleteBinding(ask, this.#call());
  }

  async freeze(): Promise<void> {
    const ask = { worldId: STORY_WORLD, hold: HoldKind.MANUAL, reason: REASON };
    await this.#activation.freeze(ask, this.#call());
  }

  async resume(hold: HoldKind): Promise<void> {
    const ask = { worldId: STORY_WORLD, hold, reason: REASON };
    await this.#activation.resume(ask, this.#call());
  }

  /** Changes the weight of an active strategy, which changes the gate's content without an apply. */
  async weigh(strategyId: string, weight: number): Promise<void> {
    const sides = [Side.LONG, Side.SHORT];
    const ask = { worldId: STORY_WORLD, strategyId, sides, weight, reason: REASON };
    await this.#activation.updateActivation(ask, this.#call());
  }

  /** Changes the length of the world's order leases. */
  async lend(leaseMs: number): Promise<void> {
    const worlds = this.#connection.client(WorldService);
    const world = { worldId: STORY_WORLD, paperTimers: { lease: durationFromMs(leaseMs) } };
    const updateMask = { paths: ["paper_timers.lease"] };
    await worlds.updateWorld({ world, updateMask }, this.#call());
  }

  async gate(): Promise<GateState> {
    const { gate } = await this.#activation.getActivation({ worldId: STORY_WORLD }, this.#call());
    if (gate === undefined) throw new Error("no gate in the answer");
    return gate;
  }

  /** Brings the world to rest: runs ended, holds removed, gate open. Gives a sample of it then. */
  settle(): Promise<WorldSample> {
    let seen = "never reached";
    return this.#until(
      () => `the world is open and at rest; it is ${seen}`,
      async () => {
        const gate = await this.gate();
        const worldId = STORY_WORLD;
        const { runs } = await this.#activation.listApplyRuns(
          { worldId, pageSize: 5 },
          this.#call(),
        );
        // The gate's own phase stays at UNFROZEN: COMPLETED makes no revision.
        const ended: readonly number[] = [ApplyPhase.COMPLETED, ApplyPhase.ROLLED_BACK];
        const running = runs.find(({ phase }) => !ended.includes(phase));
        const holds = gate.holds.map(({ kind }) => holdName(kind)).join();
        seen = `gate ${gate.gate}, run in phase ${running?.phase ?? 0}, held by ${holds || "nothing"}`;
        if (running !== undefined) return undefined;
        if (gate.gate === Gate.CLOSED) for (const hold of gate.holds) await this.resume(hold.kind);
        if (gate.gate !== Gate.OPEN) return undefined;
        const { bindings } = await this.#connection
          .client(WorldService)
          .listBindings({ worldId: STORY_WORLD, pageSize: 1_000 }, this.#call());
        // A run that began in between would mix two states in one answer.
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
    await this.#until("the books are reconciled", async () => {
      const { reconciled } = await accounts.reconcile({ accountId: "main" }, this.#call());
      return reconciled ? true : undefined;
    });
  }

  get #activation() {
    return this.#connection.client(ActivationService);
  }

  #call(): { signal: AbortSignal } {
    return { signal: this.#signal };
  }

  #until<T>(what: string | (() => string), look: () => Promise<T | undefined>): Promise<T> {
    return waitFor(what, look, { signal: this.#signal });
  }
}

/** A hold as the world's own calls name it. */
function holdName(kind: HoldKind): string {
  const [name = ""] = Object.entries(HoldKind).find(([, each]) => each === kind) ?? [];
  return name.toLowerCase();
}
