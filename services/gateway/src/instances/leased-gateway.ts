import type { DescMessage, DescService, MessageShape } from "@bufbuild/protobuf";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import type { QmtlConfig } from "@qmtl/sdk/config";
import { QmtlError } from "@qmtl/sdk/rpc";
import {
  type CallContext,
  type Clock,
  createMetrics,
  endOrLimit,
  type Handlers,
  LeadershipMonitor,
  type Logger,
  limitAfter,
  type ServedService,
  sleep,
  stopMsMax,
} from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import { createGateway, type Gateway, type GatewayDeps } from "../from-config.ts";
import { accountsOf } from "../orders/account/account-settings.ts";
import { refuseContradictions } from "../orders/account/takeover-settings.ts";
import { AccountLeases, accountHeld } from "./account-leases.ts";
import { settingsText } from "./leader-settings.ts";

export interface LeasedGatewayDeps extends Omit<GatewayDeps, "accounts"> {
  /**
   * Wait while another gateway holds the accounts, and again after losing them.
   * @default false: the start is refused, and the gateway ends when it loses them
   */
  readonly standby?: boolean;
  /** Leases that were taken before. @default taken by `start` */
  readonly leases?: AccountLeases;
  /** How long a gateway that does not renew keeps its accounts, milliseconds. @default 2000 */
  readonly leaseMs?: number;
}

/** A gateway of which one process leads: the one that holds the leases of its accounts. */
export interface LeasedGateway extends Omit<Gateway, "prepare"> {
  /** Whether this process leads, where another could; undefined where it is the only one. */
  readonly leading: LeadershipMonitor | undefined;
  /** Resolves when another gateway took the accounts and this one has ended its work for good; never for a standby. */
  readonly lost: Promise<QmtlError>;
  /**
   * @throws {QmtlError} NOT_LEADER, naming the holder, when another gateway holds an account and this one is no
   *   standby; CONFIG_INVALID when the configuration contradicts the books of an account, also of a standby.
   */
  start(): Promise<void>;
}

/** Pause before a standby that could not start is created again, milliseconds. */
const restartMs = 500;

/** The leases of the accounts of a configuration; nothing is taken yet. */
export function openAccountLeases(deps: {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: QmtlConfig;
  readonly leaseMs?: number | undefined;
}): Promise<AccountLeases> {
  const { db, clock, logger, config, leaseMs } = deps;
  return AccountLeases.open({
    ...{ db, clock, logger, gatewayId: config.gateway.id, settings: settingsText(config) },
    accountIds: Object.keys(config.accounts),
    ...(leaseMs === undefined ? {} : { leaseMs }),
  });
}

/** The Gateway under the leases of its accounts. */
export async function createLeasedGateway(deps: LeasedGatewayDeps): Promise<LeasedGateway> {
  const leases = deps.leases ?? (await openAccountLeases(deps));
  const gateway = new GatewayUnderLease({ ...deps, metrics: deps.metrics ?? createMetrics() });
  await gateway.open(leases);
  return gateway;
}

/** Runs one gateway after another: each has leases of its own, and ends when they are lost. */
class GatewayUnderLease implements LeasedGateway {
  readonly leading: LeadershipMonitor | undefined;
  readonly lost: Promise<QmtlError>;
  services: ServedService[] = [];
  readonly #deps: LeasedGatewayDeps & Required<Pick<GatewayDeps, "metrics">>;
  readonly #stopping = new AbortController();
  #leases: AccountLeases | undefined;
  #gateway: Gateway | undefined;
  #waiting: Promise<void> = Promise.resolve();
  #onLost: (refusal: QmtlError) => void = () => {};
  #stopped: Promise<void> | undefined;

  constructor(deps: LeasedGatewayDeps & Required<Pick<GatewayDeps, "metrics">>) {
    this.#deps = deps;
    const { logger, metrics, config, db } = deps;
    const isShared = db.kind === "postgres" && Object.keys(config.accounts).length > 0;
    this.leading = isShared
      ? new LeadershipMonitor({ part: "gateway", logger, metrics })
      : undefined;
    this.lost = new Promise((resolve) => {
      this.#onLost = resolve;
    });
  }

  readonly schemaRange: Gateway["schemaRange"] = (service) => this.#current.schemaRange(service);

  readonly checkTicket: Gateway["checkTicket"] = (...ticket) =>
    this.#current.checkTicket(...ticket);

  /** Makes the first gateway: what is served is known from here on. */
  async open(leases: AccountLeases): Promise<void> {
    this.#leases = leases;
    const gateway = await createGateway({ ...this.#deps, accounts: leases });
    this.#gateway = gateway;
    this.services =
      this.leading === undefined
        ? gateway.services
        : gateway.services.map((served) => this.#whileLeading(served));
  }

  async start(): Promise<void> {
    const leases = this.#leases!;
    const holder = leases.isHeld ? undefined : await leases.take();
    if (holder === undefined) return this.#lead();
    if (this.#deps.standby !== true) throw accountHeld(holder);
    // Now, and not when it is needed.
    await refuseContradictions(this.#deps.db, accountsOf(this.#deps.config));
    this.leading?.set("standby", accountHeld(holder).message);
    this.#waiting = this.#standBy();
  }

  drain(): void {
    this.#gateway?.drain();
  }

  stop(limit: AbortSignal = limitAfter(this.#deps.clock, stopMsMax)): Promise<void> {
    this.#stopped ??= this.#stop(limit);
    return this.#stopped;
  }

  get #current(): Gateway {
    if (this.#gateway === undefined) throw new Error("the gateway is opened before it is served");
    return this.#gateway;
  }

  async #stop(limit: AbortSignal): Promise<void> {
    this.#stopping.abort();
    try {
      // The gateway first: it stores what is pending while the accounts are still its own.
      if (this.#leases?.isHeld === true) await this.#gateway?.stop(limit);
    } finally {
      // What could not be stored by the limit is to be said then, and not once the database answers.
      await endOrLimit(this.#giveBack(), limit);
    }
    await this.#gateway?.stop(limit);
  }

  async #giveBack(): Promise<void> {
    await this.#leases?.stop();
    await this.#waiting;
  }

  /** Rebuilds the books and trades from now on. */
  async #lead(): Promise<void> {
    const leases = this.#leases!;
    void leases.lost.then((refusal) => {
      this.#waiting = this.#deposed(refusal);
    });
    await this.#current.start();
    if (leases.isHeld) this.leading?.set("leads");
  }

  async #deposed(refusal: QmtlError): Promise<void> {
    const { logger, standby } = this.#deps;
    this.leading?.set("standby", refusal.message);
    const next = standby === true ? "stands by" : "ends";
    logger.warn(`another gateway has taken the accounts, so this one ${next}`, {
      why: refusal.message,
    });
    await this.#gateway?.stop().catch((error: unknown) => {
      logger.warn("the gateway did not end cleanly", { error });
    });
    if (standby !== true) this.#onLost(refusal);
    else if (!this.#stopping.signal.aborted) await this.#standAgain();
  }

  /** Follows the bus and waits; takes over when the holder's leases end. */
  async #standBy(): Promise<void> {
    const { logger } = this.#deps;
    try {
      await this.#current.prepare();
      await this.#warnOfDifferences();
      if (!(await this.#leases!.takeWhenFree())) return;
      await this.#lead();
    } catch (error) {
      logger.error("the standby could not take over; trying again", { error });
      await this.#gateway?.stop();
      await this.#leases?.stop();
      await sleep(this.#deps.clock, restartMs, this.#stopping.signal);
      if (!this.#stopping.signal.aborted) await this.#standAgain();
    }
  }

  async #warnOfDifferences(): Promise<void> {
    const keys = await this.#leases!.differences();
    if (keys.length === 0) return;
    const message =
      "the configuration of this standby is not that of the gateway that leads: it would trade by its own after a takeover";
    this.#deps.logger.warn(message, { keys });
  }

  /** A gateway that was stopped is not started again: another one stands by in its place. */
  async #standAgain(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const leases = await openAccountLeases(this.#deps);
        const gateway = await createGateway({ ...this.#deps, accounts: leases });
        if (signal.aborted) return await gateway.stop();
        this.#leases = leases;
        this.#gateway = gateway;
        return await this.#standBy();
      } catch (error) {
        this.#deps.logger.error("the standby could not be started; trying again", { error });
        await sleep(this.#deps.clock, restartMs, signal);
      }
    }
  }

  /** A service whose calls are answered while this process leads, by whichever gateway there is then. */
  #whileLeading(served: ServedService): ServedService {
    const { service } = served;
    if (service.typeName === SystemService.typeName) return served;
    const names = Object.keys(served.handlers);
    const handlers: Record<string, AnyHandler> = {};
    for (const name of names) {
      handlers[name] = (request, context) => {
        if (this.leading?.isLeading !== true) throw standsBy();
        return this.#handler(service, name)(request, context);
      };
    }
    return { ...served, handlers: { ...served.handlers, ...handlers } as Handlers<DescService> };
  }

  #handler(service: DescService, name: string): AnyHandler {
    const served = this.#current.services.find((one) => one.service.typeName === service.typeName);
    const handlers: Record<string, AnyHandler | undefined> = { ...served?.handlers };
    const handler = handlers[name];
    if (handler === undefined) throw new Error(`every gateway serves ${service.typeName}/${name}`);
    return handler;
  }
}

type AnyHandler = (request: MessageShape<DescMessage>, context: CallContext) => unknown;

function standsBy(): QmtlError {
  return new QmtlError("NOT_LEADER", "this gateway stands by: another one holds the accounts", {
    retryAfterMs: 500,
  });
}
