import { hasReason } from "@qmtl/sdk/rpc";
import { type Clock, DATABASE, endOrLimit, type Logger, outageOf, sleep } from "@qmtl/service-kit";
import type { Halt, HaltActions, Halts } from "../store/halts.ts";
import { haltCommand } from "./halt-account.ts";

/** Orders that a halt cancelled, and those that it sent to flatten. */
export interface HaltedOrders {
  readonly cancelled: string[];
  readonly flattened: string[];
}

interface UnstoredHaltsPorts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly halts: Halts;
  /** Stores a halt and does what it asks for. */
  readonly carryOut: (halt: Halt, actions: HaltActions) => Promise<HaltedOrders>;
  /** Stores a halt, and leaves what it asks for to the gateway that leads. */
  readonly leave: (halt: Halt, actions: HaltActions) => Promise<void>;
}

/** Longest wait for the store before a halt is answered as not stored yet, in milliseconds; it is tried on. */
const answerMsMax = 3_000;
/** Pause before a halt that could not be stored is tried again, in milliseconds. */
export const storeAgainMs = 1_000;
/** The same while the gateway stops. */
const lastPauseMs = 250;
const noActions: HaltActions = { cancel: false, flatten: false };

/** Halts were in force when the gateway ended and are not stored. The message names them, and how to set them again. */
export class HaltsLost extends Error {
  override readonly name = "HaltsLost";

  /** @param again the commands that set them again */
  constructor(lost: readonly Halt[], again: readonly string[]) {
    const names = lost.map(({ haltId, scope, target }) =>
      scope === "all" ? `${haltId} of everything` : `${haltId} of ${scope} ${target}`,
    );
    const list = names.join(", ");
    const commands = again.map((each) => `\`${each}\``).join(", ");
    super(
      `halts that could not be stored are lost: ${list}; set again after the start: ${commands}`,
    );
  }
}

/** Stores halts that are in force already, and tries until they are stored, have ended, or this gateway has. */
export class UnstoredHalts {
  readonly #ports: UnstoredHaltsPorts;
  /** What halts that are not stored were asked to do and nobody has done yet, by id. */
  readonly #asked = new Map<string, HaltActions>();
  /** Ends of the tries under way, by id of the halt. */
  readonly #underWay = new Map<string, Promise<void>>();
  /** Halts that are tried again and again, by id. */
  readonly #retried = new Set<string>();
  /** Halts of which the log says that they are not stored while the gateway stops. */
  readonly #told = new Set<string>();
  readonly #stopped = new AbortController();
  #stopping: Promise<void> | undefined;

  constructor(ports: UnstoredHaltsPorts) {
    this.#ports = ports;
  }

  /** Nothing is taken in any more. */
  get isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  /**
   * Stores a halt and does what it asks for. Resolves to what was done, or to undefined when the store fails or is
   * silent for three seconds: then the halt is tried again until it is stored.
   *
   * @throws {QmtlError} NOT_LEADER when another gateway has taken the accounts: the caller goes on to it
   */
  async store(halt: Halt, actions: HaltActions): Promise<HaltedOrders | undefined> {
    const { clock, logger, halts } = this.#ports;
    const { haltId } = halt;
    const asked = this.#ask(haltId, actions);
    const trying = this.#try(halt, asked);
    const answered = new AbortController();
    const tooLate = sleep(clock, answerMsMax, answered.signal).then(() => undefined);
    try {
      const done = await Promise.race([trying, tooLate]);
      if (done !== undefined) return done;
      void trying.then((late) => this.#logStored(haltId, late)).catch(() => {});
      this.#retry(haltId);
      return undefined;
    } catch (failure) {
      if (isDeposed(failure)) {
        // Nobody was told that it is in force here, unless an earlier call was.
        if (!this.#retried.has(haltId)) this.#forget(haltId);
        throw failure;
      }
      if (!isStoreOutage(failure)) {
        logger.error("halt not stored; trying again", { haltId, error: failure });
      }
      this.#retry(haltId);
      return undefined;
    } finally {
      answered.abort();
      if (halts.byId(haltId) === undefined) this.#forget(haltId);
    }
  }

  /** Logs each halt that is not stored, with the command that sets it again: the gateway begins to stop. */
  tell(): void {
    const { halts, logger } = this.#ports;
    for (const halt of halts.list()) {
      const { haltId } = halt;
      if (halts.isStored(haltId) || this.#told.has(haltId)) continue;
      this.#told.add(haltId);
      const again = haltCommand(halt, this.#asked.get(haltId) ?? noActions);
      logger.warn("halt not stored yet while the gateway stops", { haltId, again });
    }
  }

  /**
   * Takes in nothing more, and tries to store what is not stored until `limit` aborts. May be called twice.
   *
   * @throws {HaltsLost} when a halt could not be stored by then; each is logged, too
   */
  stop(limit: AbortSignal): Promise<void> {
    this.#stopping ??= this.#stop(limit);
    return this.#stopping;
  }

  async #stop(limit: AbortSignal): Promise<void> {
    this.#stopped.abort();
    this.tell();
    const { halts } = this.#ports;
    const asked = [...this.#asked.keys()];
    await Promise.all(asked.map((haltId) => this.#storeAtLast(haltId, limit)));
    const lost = halts.list().filter(({ haltId }) => this.#asked.has(haltId));
    if (lost.length === 0) return;
    throw new HaltsLost(
      lost,
      lost.map((halt) => haltCommand(halt, this.#asked.get(halt.haltId) ?? noActions)),
    );
  }

  async #storeAtLast(haltId: string, limit: AbortSignal): Promise<void> {
    const { clock, logger, halts } = this.#ports;
    // It would also do what the halt asks for.
    await endOrLimit(this.#underWay.get(haltId) ?? Promise.resolve(), limit);
    let error: unknown;
    for (;;) {
      const halt = halts.byId(haltId);
      const actions = this.#asked.get(haltId);
      if (halt === undefined || actions === undefined) return this.#forget(haltId);
      if (limit.aborted) {
        const { scope, target, reason, principal } = halt;
        logger.error(
          "halt lost: it could not be stored in time and ends with this process; halt again after the start",
          {
            ...{ haltId, scope, target, reason, principal },
            again: haltCommand(halt, actions),
            ...(error === undefined || isStoreOutage(error) ? {} : { error }),
          },
        );
        return;
      }
      const leaving = this.#leave(halt, actions).catch((failure: unknown) => {
        error = failure;
      });
      await endOrLimit(leaving, limit);
      if (this.#asked.has(haltId)) await sleep(clock, lastPauseMs, limit);
    }
  }

  /** Adds to what a halt was asked to do. */
  #ask(haltId: string, { cancel, flatten }: HaltActions): HaltActions {
    const before = this.#asked.get(haltId) ?? noActions;
    const asked = { cancel: cancel || before.cancel, flatten: flatten || before.flatten };
    this.#asked.set(haltId, asked);
    this.#ports.halts.unstored(haltId);
    return asked;
  }

  /** Tries once to do all that was asked for. */
  #try(halt: Halt, asked: HaltActions): Promise<HaltedOrders> {
    const { haltId } = halt;
    const trying = this.#ports.carryOut(halt, asked).then((done) => {
      // Unless it was asked for more meanwhile.
      if (this.#asked.get(haltId) === asked) this.#forget(haltId);
      return done;
    });
    this.#track(haltId, trying);
    return trying;
  }

  #track(haltId: string, trying: Promise<unknown>): void {
    const before = this.#underWay.get(haltId);
    const end = Promise.allSettled([before, trying]).then(() => {
      if (this.#underWay.get(haltId) === end) this.#underWay.delete(haltId);
    });
    this.#underWay.set(haltId, end);
  }

  #logStored(haltId: string, { cancelled, flattened }: HaltedOrders): void {
    const counts = { cancelled: cancelled.length, flattened: flattened.length };
    this.#ports.logger.info("halt stored", { haltId, ...counts });
  }

  /** It is stored, or in force no longer. */
  #forget(haltId: string): void {
    this.#asked.delete(haltId);
    this.#ports.halts.stored(haltId);
  }

  /** Tries once to leave it to the gateway that leads. */
  #leave(halt: Halt, actions: HaltActions): Promise<void> {
    const { haltId } = halt;
    const leaving = this.#ports.leave(halt, actions).then(() => this.#forget(haltId));
    this.#track(haltId, leaving);
    return leaving;
  }

  #retry(haltId: string): void {
    if (this.#retried.has(haltId)) return;
    this.#retried.add(haltId);
    void this.#retryUntilStored(haltId).finally(() => this.#retried.delete(haltId));
  }

  /** Tries until the halt is stored, has ended, or the gateway stops. Never rejects. */
  async #retryUntilStored(haltId: string): Promise<void> {
    const { clock, logger, halts } = this.#ports;
    const { signal: stopped } = this.#stopped;
    for (;;) {
      await endOrLimit(this.#underWay.get(haltId) ?? Promise.resolve(), stopped);
      const wasDone = !this.#asked.has(haltId);
      if (!wasDone) await sleep(clock, storeAgainMs, stopped);
      if (stopped.aborted) return;
      const halt = halts.byId(haltId);
      const actions = this.#asked.get(haltId);
      if (halt === undefined || actions === undefined) return this.#forget(haltId);
      try {
        this.#logStored(haltId, await this.#try(halt, actions));
      } catch (error) {
        if (isDeposed(error)) await this.#leave(halt, actions).catch(() => {});
        else if (!isStoreOutage(error)) {
          logger.error("halt not stored; trying again", { haltId, error });
        }
      }
    }
  }
}

/** True when the database gave no answer or cannot work: the write was not made, or it is not known whether it was. */
export function isStoreOutage(failure: unknown): boolean {
  return (
    outageOf(failure)?.subject === DATABASE ||
    hasReason(failure, "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
  );
}

/** True when another gateway has taken the accounts. */
export function isDeposed(failure: unknown): boolean {
  return hasReason(failure, "NOT_LEADER");
}
