import { QmtlError } from "@qmtl/sdk/rpc";
import { type Clock, type Logger, limitAfter, sleep, stopMsMax } from "@qmtl/service-kit";
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
import { haltAccount, resumeAccount } from "./halt-account.ts";
import type { OrderSubjects } from "./order-subjects.ts";
import {
  type HaltedOrders,
  isDeposed,
  isStoreOutage,
  storeAgainMs,
  UnstoredHalts,
} from "./unstored-halts.ts";

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
interface HaltOutcome extends HaltedOrders {
  readonly halt: Halt;
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

const nothing: HaltedOrders = { cancelled: [], flattened: [] };
/** How often halts that another gateway stored are looked for, where there may be one, in milliseconds. */
const lookMs = 500;

/** Sets and ends halts on all accounts that they concern. */
export class HaltService {
  readonly #ports: HaltServicePorts;
  readonly #unstored: UnstoredHalts;
  readonly #stopped = new AbortController();
  #looking: Promise<void> | undefined;
  /** Settles when the halt that is being ended is removed from the store, or is not. */
  #removal: Promise<void> = Promise.resolve();
  /** Changes of halts that this gateway began or ended. */
  #changes = 0;

  constructor(ports: HaltServicePorts) {
    this.#ports = ports;
    this.#unstored = new UnstoredHalts({
      ...ports,
      carryOut: async (halt, actions) => {
        await this.#removal;
        return this.#carryOut(halt, actions);
      },
      leave: (halt, actions) => this.#leave(halt, actions),
    });
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
   * another call gives it the new reason. While the store does not answer, the halt is kept in memory, and answered
   * within three seconds; as soon as the store answers, the halt is stored and its actions are carried out.
   *
   * @throws {QmtlError} as `OrderSubjects.check`; STORE_UNAVAILABLE when the store does not answer that check; DRAINING
   * once this gateway stops
   */
  async halt(place: HaltCoverage, actions: HaltActions, cause: HaltCause): Promise<HaltOutcome> {
    const { clock, newId, halts, subjects } = this.#ports;
    await subjects.check(place).catch((failure: unknown) => {
      if (!isStoreOutage(failure)) throw failure;
      const message = `cannot look up now whether there is a ${place.scope} ${place.target}`;
      const options = { retryAfterMs: storeAgainMs, cause: failure };
      throw new QmtlError("STORE_UNAVAILABLE", message, options);
    });
    if (this.#unstored.isStopped) {
      const message = "the gateway stops, and would not store the halt; halt again elsewhere";
      throw new QmtlError("DRAINING", message, { retryAfterMs: storeAgainMs });
    }
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
    return { halt, ...((await this.#unstored.store(halt, actions)) ?? nothing) };
  }

  /** Says in the log which halts are not stored: the gateway begins to stop. */
  drain(): void {
    this.#unstored.tell();
  }

  /**
   * Tries to store halts that are not until `limit` aborts, logs each, and as lost what could not be stored. May be
   * called twice.
   *
   * @param limit @default aborts after five seconds
   * @throws {HaltsLost} naming the halts that are not stored, and the commands that set them again
   */
  async stop(limit: AbortSignal = limitAfter(this.#ports.clock, stopMsMax)): Promise<void> {
    this.#stopped.abort();
    await this.#unstored.stop(limit);
    await this.#looking;
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
    const isOther = known !== undefined && known.haltId !== stored.haltId;
    if (isOther && halts.isStored(known.haltId)) halts.set(stored);
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

  /** Stores a halt that this gateway cannot carry out itself any more. */
  async #leave(halt: Halt, actions: HaltActions): Promise<void> {
    const { db, clock, logger, haltStore } = this.#ports;
    const accounts = this.#accountsOf(halt).map(({ account }) => account);
    await haltStore.leave(db, halt, { ...actions, accounts }, clock.nowMs());
    const { haltId, scope, target } = halt;
    logger.warn("halt stored by a gateway that ends or leads no more, for the one that leads", {
      ...{ haltId, scope, target, ...actions },
    });
  }

  async #carryOut(
    halt: Halt,
    actions: HaltActions,
    alongside = (tx: Tx): Promise<void> => this.#store(tx, halt),
  ): Promise<HaltedOrders> {
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

  /**
   * Ends a halt, that of a world also a shut that is due to an order written too late there, that of everything all
   * such shuts, and catches up with the standing targets.
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
    const { reopened, gates } = this.#openAgain(halt);
    await Promise.all(gates.map((gate) => gate.beat()));
    await this.#goOn(halt, cause, async (tx) => {
      // Another halt of the same may have been set meanwhile, and stays.
      if (halts.at(halt) === undefined) await this.#remove(tx, halt);
    });
    return { orders: await rearmedAfter(db, before), reopened };
  }

  /** What a halt held back goes on, and catches up with the standing targets. */
  async #goOn(halt: Halt, cause: HaltCause, alongside: (tx: Tx) => Promise<void>): Promise<void> {
    const { acks, outbox } = this.#ports;
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
    if (place.scope !== "world" || this.#ports.halts.at(place) !== undefined) return false;
    return this.#ports.worlds.gateOf(place.target)?.isShutByLateOrder === true;
  }

  /** `resume` for a world without a halt that an order written too late has shut. */
  async reopen(place: HaltCoverage, { reason, principal }: HaltCause): Promise<ResumeOutcome> {
    const { db, acks, outbox } = this.#ports;
    const before = await lastOrderPosition(db);
    const { reopened, gates } = this.#openAgain(place);
    await Promise.all(gates.map((gate) => gate.beat()));
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

  /**
   * Opens, all at once, what the end of a halt of this place opens: gates that it latched, and those of its worlds that
   * an order written too late has shut. Those worlds, by name, and every gate that now has to request its lease.
   */
  #openAgain({ scope, target }: HaltCoverage): { reopened: string[]; gates: RouterGate[] } {
    const { leases, worlds } = this.#ports;
    const all = [...worlds.gates];
    if (scope === "all") {
      leases.setStopped(false);
      for (const [, gate] of all) gate.clearHalt();
    }
    const late = all.filter(([world, gate]) => {
      const isMeant = scope === "all" || (scope === "world" && world === target);
      return isMeant && gate.clearLateOrder();
    });
    const opened = scope === "all" ? all : late;
    return { reopened: late.map(([world]) => world).sort(), gates: opened.map(([, gate]) => gate) };
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
