import type { RouterScope } from "@qmtl/core/execution";
import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, sleep } from "@qmtl/service-kit";
import { type Db, DbUnavailable, type Tx, UnknownOutcome } from "@qmtl/service-kit/db";
import type { ControlOutbox } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import { catchUp, type StatedTimes } from "../account/catch-up.ts";
import type { LateOrder, RouterGate, RouterLeases } from "../gate/router-gate.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { HaltStore } from "../store/halt-store.ts";
import type { Halt, HaltCoverage, HaltSubject, Halts } from "../store/halts.ts";
import { lastOrderPosition, rearmedAfter } from "../store/order-table.ts";
import type { OrderSubjects } from "./order-subjects.ts";

interface HaltServicePorts {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly newId: () => string;
  readonly leases: Pick<RouterLeases, "setStopped">;
  readonly halts: Halts;
  readonly haltStore: HaltStore;
  readonly worlds: WorldRegistry;
  readonly accounts: AccountRegistry;
  readonly subjects: OrderSubjects;
  readonly acks: StatedTimes;
  readonly outbox: Pick<ControlOutbox, "poke">;
}

/** What a halt does besides keeping new orders from leaving. */
export interface HaltActions {
  /** Cancel working opening orders. */
  readonly cancel: boolean;
  /** Close positions with reduce-only orders. */
  readonly flatten: boolean;
}

/** Why and by whom. */
interface HaltCause {
  readonly reason: string;
  readonly principal: string;
}

/** A halt in force, with the orders it cancelled and those it sent to flatten. */
interface HaltOutcome {
  readonly halt: Halt;
  readonly cancelled: string[];
  readonly flattened: string[];
}

/** What came of an end of a halt. */
interface ResumeOutcome {
  /** Ids of the orders that caught up with the standing targets. */
  readonly orders: readonly string[];
  /** Worlds that an order written too late had shut until now. */
  readonly reopened: readonly string[];
}

/** A world whose gate an order that was written too late keeps shut. */
export interface ShutWorld extends LateOrder {
  readonly world: string;
  readonly account: string;
}

const nothing = { cancelled: [], flattened: [] };
/** Pause before a halt that could not be stored is tried again, in milliseconds. */
const storeAgainMs = 1_000;

/** Sets and ends halts on all accounts that they concern. */
export class HaltService {
  readonly #ports: HaltServicePorts;
  /** What halts that are not stored were asked to do, by id. */
  readonly #unstored = new Map<string, HaltActions>();
  readonly #storing = new Set<Promise<void>>();
  readonly #stopped = new AbortController();

  constructor(ports: HaltServicePorts) {
    this.#ports = ports;
  }

  /**
   * Stops orders. In force at once, even while WorldService or the store is down. There is one halt for each coverage:
   * another call gives it the new reason. While the store does not answer, the halt is kept in memory; as soon as the
   * store answers, the halt is stored and its actions are carried out.
   *
   * @throws {QmtlError} as `OrderSubjects.check`; STORE_UNAVAILABLE when the store does not answer that check
   */
  async halt(place: HaltCoverage, actions: HaltActions, cause: HaltCause): Promise<HaltOutcome> {
    const { clock, newId, leases, halts, worlds, subjects } = this.#ports;
    await subjects.check(place).catch((failure: unknown) => {
      if (!isStoreOutage(failure)) throw failure;
      const message = `cannot look up now whether there is a ${place.scope} ${place.target}`;
      const options = { retryAfterMs: storeAgainMs, cause: failure };
      throw new QmtlError("STORE_UNAVAILABLE", message, options);
    });
    const before = halts.at(place);
    const halt: Halt = {
      ...place,
      haltId: before?.haltId ?? `h-${newId()}`,
      reason: cause.reason,
      principal: before?.principal ?? cause.principal,
      timeMs: before?.timeMs ?? clock.nowMs(),
    };
    halts.set(halt);
    if (place.scope === "all") {
      leases.setStopped(true);
      for (const gate of worlds.gates.values()) gate.halt();
    }
    try {
      const done = await this.#carryOut(halt, actions);
      halts.stored(halt.haltId);
      return { halt, ...done };
    } catch (failure) {
      if (!isStoreOutage(failure)) throw failure;
      this.#keepUntilStored(halt, actions);
      return { halt, cancelled: [], flattened: [] };
    }
  }

  /** Stops trying to store halts, and logs as lost those that are not stored. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#storing);
    const { halts, logger } = this.#ports;
    for (const halt of halts.list()) {
      if (halts.isStored(halt.haltId)) continue;
      const { haltId, scope, target, reason, principal } = halt;
      logger.error(
        "halt lost: it was never stored and ends with this process; halt again after the start",
        {
          haltId,
          scope,
          target,
          reason,
          principal,
        },
      );
    }
  }

  async #carryOut(halt: Halt, actions: HaltActions): Promise<Omit<HaltOutcome, "halt">> {
    const { db, outbox, halts } = this.#ports;
    const done = await Promise.all(
      this.#accountsOf(halt).map(async (router) => {
        const one = await router.exclusive(async () => {
          // Ended while it waited for its turn: nothing is left to do.
          if (halts.byId(halt.haltId) === undefined) return nothing;
          return haltAccount(router, halt, actions, (tx) => this.#store(tx, halt));
        });
        await router.stored(); // so that the next reader sees the outcome
        return one;
      }),
    );
    if (done.length === 0) await db.transaction((tx) => this.#store(tx, halt));
    outbox.poke();
    return {
      cancelled: done.flatMap((one) => one.cancelled),
      flattened: done.flatMap((one) => one.flattened),
    };
  }

  #store(tx: Tx, halt: Halt): Promise<void> {
    return this.#ports.haltStore.store(tx, halt, this.#ports.clock.nowMs());
  }

  #remove(tx: Tx, halt: Halt): Promise<void> {
    return this.#ports.haltStore.remove(tx, halt, this.#ports.clock.nowMs());
  }

  #keepUntilStored({ haltId }: Halt, { cancel, flatten }: HaltActions): void {
    const before = this.#unstored.get(haltId);
    this.#unstored.set(haltId, {
      cancel: cancel || before?.cancel === true,
      flatten: flatten || before?.flatten === true,
    });
    this.#ports.halts.unstored(haltId);
    if (before !== undefined) return;
    const storing = this.#storeLater(haltId).finally(() => {
      this.#unstored.delete(haltId);
      this.#storing.delete(storing);
    });
    this.#storing.add(storing);
  }

  /** Tries until the halt is stored, has ended, or the gateway stops. */
  async #storeLater(haltId: string): Promise<void> {
    const { clock, logger, halts } = this.#ports;
    const { signal: stopped } = this.#stopped;
    for (;;) {
      await sleep(clock, storeAgainMs, stopped);
      const halt = halts.byId(haltId);
      const actions = this.#unstored.get(haltId);
      if (stopped.aborted || halt === undefined || actions === undefined) return;
      try {
        const { cancelled, flattened } = await this.#carryOut(halt, actions);
        if (this.#unstored.get(haltId) !== actions) continue; // asked for more meanwhile
        halts.stored(haltId);
        const counts = { cancelled: cancelled.length, flattened: flattened.length };
        logger.info("halt stored", { haltId, ...counts });
        return;
      } catch (error) {
        if (!isStoreOutage(error)) logger.error("halt not stored", { haltId, error });
      }
    }
  }

  /**
   * Ends a halt, that of a world also a shut that is due to an order written too late there, and catches up with the
   * standing targets.
   */
  async resume(halt: Halt, cause: HaltCause): Promise<ResumeOutcome> {
    const { db, leases, halts, worlds, acks, outbox } = this.#ports;
    const before = await lastOrderPosition(db);
    await db.transaction((tx) => this.#remove(tx, halt));
    halts.delete(halt);
    if (halt.scope === "all") {
      leases.setStopped(false);
      const gates = [...worlds.gates.values()];
      for (const gate of gates) gate.clearHalt();
      await Promise.all(gates.map((gate) => gate.beat()));
    }
    const reopened = await this.#openAgain(halt);
    await Promise.all(
      this.#accountsOf(halt).map((router) =>
        router.exclusive(async () => {
          await resumeAccount(router, halt, cause, (tx) => this.#remove(tx, halt));
          await catchUp(router, acks);
        }),
      ),
    );
    outbox.poke();
    return { orders: await rearmedAfter(db, before), reopened };
  }

  /** Whether a call to resume this means a world that is shut for an order written too late alone. */
  isShutOnly(place: HaltCoverage): boolean {
    return this.#ports.halts.at(place) === undefined && this.#lateGate(place) !== undefined;
  }

  /** `resume` for a world without a halt that an order written too late has shut. */
  async reopen(place: HaltCoverage, { reason, principal }: HaltCause): Promise<ResumeOutcome> {
    const { db, acks, outbox } = this.#ports;
    const before = await lastOrderPosition(db);
    const reopened = await this.#openAgain(place);
    await Promise.all(
      this.#accountsOf(place).map((router) =>
        router.exclusive(async () => {
          const booking = router.booking();
          const { scope, target } = place;
          const note = { haltId: "", scope, target, reason, principal };
          booking.note("resume", router.journalPlace(target), note);
          await router.commit(booking);
          await catchUp(router, acks);
        }),
      ),
    );
    outbox.poke();
    return { orders: await rearmedAfter(db, before), reopened };
  }

  /** Worlds that an order written too late has shut, of those with one of these accounts or names; by name. */
  shutWorlds(subject?: Pick<HaltSubject, "account" | "world">): ShutWorld[] {
    const { worlds } = this.#ports;
    const all = [...worlds.gates].flatMap(([world, { lateOrder }]) => {
      const account = worlds.worldOf(world)?.accountId ?? "";
      return lateOrder === undefined ? [] : [{ world, account, ...lateOrder }];
    });
    const isNamed = ({ world, account }: ShutWorld) =>
      subject === undefined ||
      (subject.world === "" ? subject.account === account : subject.world === world);
    return all.filter(isNamed).sort((a, b) => (a.world < b.world ? -1 : 1));
  }

  async #openAgain(place: HaltCoverage): Promise<string[]> {
    const gate = this.#lateGate(place);
    if (gate?.clearLateOrder() !== true) return [];
    await gate.beat();
    return [place.target];
  }

  #lateGate({ scope, target }: HaltCoverage): RouterGate | undefined {
    const gate = scope === "world" ? this.#ports.worlds.gateOf(target) : undefined;
    return gate?.isShutByLateOrder === true ? gate : undefined;
  }

  /**
   * The halt to end. Throws HALT_NOT_FOUND, with the ids in force in the metadata, and in the message the worlds that an
   * order written too late has shut.
   */
  find(which: HaltCoverage | { readonly haltId: string }): Halt {
    const halts = this.#ports.halts;
    const found = "haltId" in which ? halts.byId(which.haltId) : halts.at(which);
    if (found !== undefined) return found;
    const inForce = halts.list().map(({ haltId }) => haltId);
    const named = "haltId" in which ? which.haltId : `${which.scope} ${which.target}`.trim();
    const shut = this.shutWorlds().map(({ world }) => world);
    const hint =
      shut.length === 0
        ? ""
        : `; an order written too late has shut ${shut.join(", ")}: resume each of them by its name`;
    throw new QmtlError("HALT_NOT_FOUND", `no halt ${named} is in force${hint}`, {
      metadata: { halt_ids: inForce.join(",") },
    });
  }

  #accountsOf(halt: HaltCoverage): AccountRouter[] {
    const routers = [...this.#ports.accounts.all()];
    if (halt.scope === "account") return routers.filter((one) => one.account === halt.target);
    if (halt.scope !== "world") return routers;
    const accountId = this.#ports.worlds.worldOf(halt.target)?.accountId;
    return routers.filter((one) => one.account === accountId);
  }
}

/** Halts one account's part of a scope; `alongside` stores the halt in the same transaction. */
async function haltAccount(
  router: AccountRouter,
  halt: Halt,
  actions: HaltActions,
  alongside: (tx: Tx) => Promise<void>,
): Promise<{ cancelled: string[]; flattened: string[] }> {
  const booking = router.booking();
  const scope = scopeOf(halt);
  const place = router.journalPlace(scope.world ?? "", scope.strategy ?? "");
  const { haltId, scope: covers, target, reason, principal } = halt;
  booking.note("halt", place, { haltId, scope: covers, target, reason, principal, ...actions });
  if (actions.cancel) {
    booking.apply("halt", { op: "cancel", scope, protective: false }, place, router.permission);
  }
  if (actions.flatten) {
    for (const world of worldsOf(router, scope)) {
      const bucket = router.bucketOf(world);
      const part = { ...scope, world };
      const op = { op: "flatten", scope: part, bucket, origin: "halt_flatten" } as const;
      booking.apply("halt", op, router.journalPlace(world), router.permission);
    }
  }
  await router.commitAndSend(booking, alongside);
  const cancelled = booking.cancels.filter((id) => router.core.order(id)?.state === "cancelled");
  return { cancelled, flattened: booking.sends.map(({ order }) => order.id) };
}

/** Journals that a halt ended. */
async function resumeAccount(
  router: AccountRouter,
  halt: Halt,
  { reason, principal }: { readonly reason: string; readonly principal: string },
  alongside: (tx: Tx) => Promise<void>,
): Promise<void> {
  const booking = router.booking();
  const { haltId, scope, target } = halt;
  booking.note("resume", router.journalPlace(""), { haltId, scope, target, reason, principal });
  await router.commit(booking, alongside);
}

function scopeOf(halt: HaltCoverage): RouterScope {
  if (halt.scope === "world") return { world: halt.target };
  return halt.scope === "strategy" ? { strategy: halt.target } : {};
}

function worldsOf(router: AccountRouter, scope: RouterScope): string[] {
  if (scope.world !== undefined) return [scope.world];
  return [...new Set(router.core.books().map((book) => book.world))].filter(
    (world) => world !== "",
  );
}

/** True when the database gave no answer: the write was not made, or it is not known whether it was. */
function isStoreOutage(failure: unknown): boolean {
  return (
    failure instanceof DbUnavailable ||
    failure instanceof UnknownOutcome ||
    hasReason(failure, "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
  );
}
