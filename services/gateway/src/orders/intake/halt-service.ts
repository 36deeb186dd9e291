import { hasReason, QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, DATABASE, type Logger, outageOf, sleep } from "@qmtl/service-kit";
import type { Db, Tx } from "@qmtl/service-kit/db";
import type { ControlOutbox } from "../../ports.ts";
import type { AccountRegistry } from "../account/account-registry.ts";
import type { AccountRouter } from "../account/account-router.ts";
import { catchUp, type StatedTimes } from "../account/catch-up.ts";
import type { LateOrder, RouterGate, RouterLeases } from "../gate/router-gate.ts";
import type { WorldRegistry } from "../gate/world-registry.ts";
import type { HaltStore } from "../store/halt-store.ts";
import {
  clearLeftToDo,
  type Halt,
  type HaltActions,
  type HaltCoverage,
  type HaltSubject,
  type Halts,
  readHalts,
} from "../store/halts.ts";
import { lastOrderPosition, rearmedAfter } from "../store/order-table.ts";
import { haltAccount, haltCommand, resumeAccount } from "./halt-account.ts";
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
const noActions: HaltActions = { cancel: false, flatten: false };
/** Pause before a halt that could not be stored is tried again, in milliseconds. */
const storeAgainMs = 1_000;
/** How often a gateway that stops tries to store a halt that is not. */
const lastTriesMax = 3;
/** How often halts that another gateway stored are looked for, where there may be one, in milliseconds. */
const lookMs = 500;

/** Sets and ends halts on all accounts that they concern. */
export class HaltService {
  readonly #ports: HaltServicePorts;
  /** What halts that are not stored were asked to do, by id. */
  readonly #unstored = new Map<string, HaltActions>();
  readonly #storing = new Set<Promise<void>>();
  readonly #stopped = new AbortController();
  #looking: Promise<void> | undefined;
  /** Settles when the halt that is being ended is removed from the store, or is not. */
  #removal: Promise<void> = Promise.resolve();
  /** Changes of halts that this gateway began or ended. */
  #changes = 0;

  constructor(ports: HaltServicePorts) {
    this.#ports = ports;
  }

  /**
   * Does what halts that are stored were asked to do and nobody has done yet; where another gateway may store halts, a
   * deposed one for example, it takes over and carries out those as well, from now on.
   */
  async start(): Promise<void> {
    await this.takeOverStored();
    if (this.#ports.db.kind === "postgres") this.#looking = this.#lookForStored();
  }

  /**
   * Stops orders. In force at once, even while WorldService or the store is down. There is one halt for each coverage:
   * another call gives it the new reason. While the store does not answer, the halt is kept in memory; as soon as the
   * store answers, the halt is stored and its actions are carried out.
   *
   * @throws {QmtlError} as `OrderSubjects.check`; STORE_UNAVAILABLE when the store does not answer that check
   */
  async halt(place: HaltCoverage, actions: HaltActions, cause: HaltCause): Promise<HaltOutcome> {
    const { clock, newId, halts, subjects, logger } = this.#ports;
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
    this.#changes += 1;
    this.#putInForce(halt);
    halts.unstored(halt.haltId);
    try {
      await this.#removal;
      const done = await this.#carryOut(halt, actions);
      halts.stored(halt.haltId);
      return { halt, ...done };
    } catch (failure) {
      // The caller goes on to the gateway that leads, unless nobody does.
      if (isDeposed(failure)) {
        halts.stored(halt.haltId);
        throw failure;
      }
      if (!isStoreOutage(failure)) {
        logger.error("halt not stored; trying again", { haltId: halt.haltId, error: failure });
      }
      this.#keepUntilStored(halt, actions);
      return { halt, cancelled: [], flattened: [] };
    }
  }

  /** Tries a last time to store halts that are not; logs each, and as lost what could not be stored. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    // What each was asked to do, before the tries under way end.
    const unstored = new Map(this.#unstored);
    const { halts, logger } = this.#ports;
    for (const halt of halts.list()) {
      if (halts.isStored(halt.haltId)) continue;
      const again = haltCommand(halt, unstored.get(halt.haltId) ?? noActions);
      logger.warn("halt not stored yet while the gateway stops", { haltId: halt.haltId, again });
    }
    await Promise.all(this.#storing);
    await this.#looking;
    await Promise.all(
      halts.list().map(async (halt) => {
        if (halts.isStored(halt.haltId)) return;
        await this.#storeAtLast(halt, unstored.get(halt.haltId) ?? noActions);
      }),
    );
  }

  /**
   * Takes over halts that another gateway stored, and does what is left to do of any. A halt that is stored no longer
   * stays in force until it is ended here: a database may have lost it.
   */
  async takeOverStored(): Promise<void> {
    const { db, accounts } = this.#ports;
    const changes = this.#changes;
    const own = [...accounts.all()].map(({ account }) => account);
    for (const { halt, leftToDo } of await readHalts(db, own)) {
      // What was read may be older than a change of this gateway.
      if (changes !== this.#changes) return;
      await this.#takeOver(halt, leftToDo, own);
    }
  }

  async #takeOver(stored: Halt, leftToDo: HaltActions, own: readonly string[]): Promise<void> {
    const { db, halts, logger } = this.#ports;
    const known = halts.at(stored);
    const isLeft = leftToDo.cancel || leftToDo.flatten;
    // Of two gateways that halted the same at once, the id that is stored counts.
    if (known !== undefined && halts.isStored(known.haltId)) halts.set(stored);
    if (known !== undefined && !isLeft) return;
    const halt = halts.at(stored) ?? stored;
    if (known === undefined) this.#putInForce(halt);
    // It is stored, unless it has been ended meanwhile.
    const { cancelled, flattened } = await this.#carryOut(halt, leftToDo, async () => {});
    if (isLeft) await clearLeftToDo(db, halt, own);
    const { haltId, scope, target } = halt;
    const counts = { cancelled: cancelled.length, flattened: flattened.length };
    logger.info("halt that another gateway stored is in force here", {
      ...{ haltId, scope, target, ...counts },
    });
  }

  async #lookForStored(): Promise<void> {
    const { clock, logger } = this.#ports;
    const { signal: stopped } = this.#stopped;
    for (;;) {
      await sleep(clock, lookMs, stopped);
      if (stopped.aborted) return;
      await this.takeOverStored().catch((error: unknown) => {
        if (!isStoreOutage(error) && !isDeposed(error)) {
          logger.error("halts that another gateway stored were not taken over", { error });
        }
      });
    }
  }

  #putInForce(halt: Halt): void {
    const { halts, leases, worlds } = this.#ports;
    halts.set(halt);
    if (halt.scope !== "all") return;
    leases.setStopped(true);
    for (const gate of worlds.gates.values()) gate.halt();
  }

  async #storeAtLast(halt: Halt, actions: HaltActions): Promise<void> {
    const { clock, logger } = this.#ports;
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#leave(halt, actions);
      } catch (error) {
        if (tries === lastTriesMax) {
          const { haltId, scope, target, reason, principal } = halt;
          logger.error(
            "halt lost: it was never stored and ends with this process; halt again after the start",
            {
              ...{ haltId, scope, target, reason, principal },
              again: haltCommand(halt, actions),
              ...(isStoreOutage(error) ? {} : { error }),
            },
          );
          return;
        }
      }
      await sleep(clock, storeAgainMs);
    }
  }

  /** Stores a halt that this gateway cannot carry out itself any more. */
  async #leave(halt: Halt, actions: HaltActions): Promise<void> {
    const { db, clock, logger, haltStore, halts } = this.#ports;
    const accounts = this.#accountsOf(halt).map(({ account }) => account);
    await haltStore.leave(db, halt, { ...actions, accounts }, clock.nowMs());
    halts.stored(halt.haltId);
    const { haltId, scope, target } = halt;
    logger.warn("halt stored by a gateway that ends or leads no more, for the one that leads", {
      ...{ haltId, scope, target, ...actions },
    });
  }

  async #carryOut(
    halt: Halt,
    actions: HaltActions,
    alongside = (tx: Tx): Promise<void> => this.#store(tx, halt),
  ): Promise<Omit<HaltOutcome, "halt">> {
    const { db, outbox, halts } = this.#ports;
    const done = await Promise.all(
      this.#accountsOf(halt).map(async (router) => {
        const one = await router.exclusive(async () => {
          // Ended while it waited for its turn: nothing is left to do.
          if (halts.byId(halt.haltId) === undefined) return nothing;
          return haltAccount(router, halt, actions, alongside);
        });
        await router.stored(); // so that the next reader sees the outcome
        return one;
      }),
    );
    if (done.length === 0) await db.transaction(alongside);
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
        if (isDeposed(error) && (await this.#hasLeft(halt, actions))) return;
        if (!isStoreOutage(error) && !isDeposed(error)) {
          logger.error("halt not stored; trying again", { haltId, error });
        }
      }
    }
  }

  async #hasLeft(halt: Halt, actions: HaltActions): Promise<boolean> {
    return this.#leave(halt, actions).then(
      () => true,
      () => false,
    );
  }

  /**
   * Ends a halt, that of a world also a shut that is due to an order written too late there, and catches up with the
   * standing targets.
   */
  async resume(halt: Halt, cause: HaltCause): Promise<ResumeOutcome> {
    const { db, halts } = this.#ports;
    this.#changes += 1;
    const removal = lastOrderPosition(db)
      .then(async (position) => {
        await db.transaction((tx) => this.#remove(tx, halt));
        return position;
      })
      .finally(() => {
        this.#changes += 1;
      });
    // What is halted from now on is stored after it.
    this.#removal = removal.then(
      () => {},
      () => {},
    );
    const before = await removal;
    // Halted again meanwhile: nothing goes on.
    if (halts.at(halt) !== halt) return { orders: [], reopened: [] };
    halts.delete(halt);
    const reopened = await this.#openAgain(halt);
    await this.#goOn(halt, cause, async (tx) => {
      // Another halt of the same may have been set meanwhile, and stays.
      if (halts.at(halt) === undefined) await this.#remove(tx, halt);
    });
    return { orders: await rearmedAfter(db, before), reopened };
  }

  /** What a halt held back goes on, and catches up with the standing targets. */
  async #goOn(halt: Halt, cause: HaltCause, alongside: (tx: Tx) => Promise<void>): Promise<void> {
    const { leases, worlds, acks, outbox } = this.#ports;
    if (halt.scope === "all") {
      leases.setStopped(false);
      const gates = [...worlds.gates.values()];
      for (const gate of gates) gate.clearHalt();
      await Promise.all(gates.map((gate) => gate.beat()));
    }
    await Promise.all(
      this.#accountsOf(halt).map((router) =>
        router.exclusive(async () => {
          await resumeAccount(router, halt, cause, alongside);
          await catchUp(router, acks);
        }),
      ),
    );
    outbox.poke();
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

/** True when the database gave no answer or cannot work: the write was not made, or it is not known whether it was. */
function isStoreOutage(failure: unknown): boolean {
  return (
    outageOf(failure)?.subject === DATABASE ||
    hasReason(failure, "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
  );
}

/** True when another gateway has taken the accounts. */
function isDeposed(failure: unknown): boolean {
  return hasReason(failure, "NOT_LEADER");
}
