import type { Db } from "@qmtl/service-kit/db";
import type { LeaseRelay } from "../ports.ts";
import type { AccountRouter } from "./account-router.ts";
import type { Door } from "./door.ts";
import { type HaltWish, haltAccount, resumeAccount } from "./halt-account.ts";
import { deleteHalt, type Halt, type Halts, insertHalt } from "./halts.ts";
import { lastOrderPosition, rearmedAfter } from "./order-table.ts";

export interface HaltDeskPorts {
  readonly db: Db;
  readonly leases: Pick<LeaseRelay, "setStopped">;
  readonly halts: () => Halts;
  readonly doors: () => Iterable<Door>;
  readonly routers: () => Iterable<AccountRouter>;
  /** Account a world trades on; undefined when it does not trade here. */
  readonly accountOf: (worldId: string) => string | undefined;
  /** Alone on the account: what is missing to the standing targets. */
  readonly catchUp: (router: AccountRouter) => Promise<unknown>;
}

/** Orders that a halt cancelled, and those it sent to flatten. */
export interface HaltDone {
  readonly cancelled: string[];
  readonly flattened: string[];
}

/** The operator's stop and go, over all accounts it concerns. */
export class HaltDesk {
  readonly #ports: HaltDeskPorts;

  constructor(ports: HaltDeskPorts) {
    this.#ports = ports;
  }

  /** Stops orders; in force at once, durable when it resolves, and with WorldService down as well. */
  async halt(halt: Halt, wish: HaltWish, principal: string): Promise<HaltDone> {
    const { db, leases, halts, doors } = this.#ports;
    halts().set(halt);
    if (halt.scope === "all") {
      leases.setStopped(true);
      for (const door of doors()) door.halt();
    }
    const done = await Promise.all(
      this.#accountsOf(halt).map(async (router) => {
        const one = await router.exclusive(() =>
          haltAccount(router, halt, wish, principal, (tx) => insertHalt(tx, halt)),
        );
        await router.stored(); // who looks next sees what came of it
        return one;
      }),
    );
    if (done.length === 0) await insertHalt(db, halt);
    return {
      cancelled: done.flatMap((one) => one.cancelled),
      flattened: done.flatMap((one) => one.flattened),
    };
  }

  /** Clears a halt and catches up with the standing targets; resolves to the orders that made. */
  async resume(
    halt: Pick<Halt, "scope" | "target" | "reason">,
    principal: string,
  ): Promise<string[]> {
    const { db, leases, halts, doors, catchUp } = this.#ports;
    const before = await lastOrderPosition(db);
    await deleteHalt(db, halt);
    halts().delete(halt);
    if (halt.scope === "all") {
      leases.setStopped(false);
      for (const door of doors()) door.clearHalt();
      await Promise.all([...doors()].map((door) => door.beat()));
    }
    await Promise.all(
      this.#accountsOf(halt).map((router) =>
        router.exclusive(async () => {
          await resumeAccount(router, halt, principal, (tx) => deleteHalt(tx, halt));
          await catchUp(router);
        }),
      ),
    );
    return rearmedAfter(db, before);
  }

  #accountsOf(halt: Pick<Halt, "scope" | "target">): AccountRouter[] {
    const routers = [...this.#ports.routers()];
    if (halt.scope === "account") return routers.filter((one) => one.account === halt.target);
    if (halt.scope !== "world") return routers;
    const accountId = this.#ports.accountOf(halt.target);
    return routers.filter((one) => one.account === accountId);
  }
}
