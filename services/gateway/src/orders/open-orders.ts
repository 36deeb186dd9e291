import { fileURLToPath } from "node:url";
import type { QmtlConfig } from "@qmtl/sdk/config";
import type { Clock, Logger, ServedService } from "@qmtl/service-kit";
import { applyMigrations, type Db, readMigrations } from "@qmtl/service-kit/db";
import { strategyIdOf, weightBoundsOf } from "../store/submission-store.ts";
import { unguarded } from "../store/writes.ts";
import { accountsOf, feedsOf } from "./account/account-config.ts";
import { PaperBroker } from "./broker/paper-broker.ts";
import { PAPER_FAULT_ENV, readPaperFault } from "./broker/paper-fault.ts";
import { GatewayOrders, type OrderPorts } from "./order-path.ts";
import { accountRoutes } from "./rpc/account-routes.ts";
import { orderRoutes } from "./rpc/order-routes.ts";
import { type WorldClients, worldPeerOf } from "./rpc/order-world-peer.ts";
import { rebalancingRoutes } from "./rpc/rebalancing-routes.ts";

export interface OpenOrdersDeps {
  /** The gateway's database, schema `gateway`. */
  readonly db: Db;
  /** The paper broker's own, schema `paper`. */
  readonly paperDb: Db;
  readonly config: QmtlConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Clients that speak as this gateway, role `gateway`. */
  readonly world: WorldClients;
  /** @default the environment of the process */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The order path with the services it serves. */
export interface OpenedOrders {
  readonly orders: GatewayOrders;
  readonly services: readonly ServedService[];
}

const paperMigrations = fileURLToPath(new URL("../../migrations-paper", import.meta.url));

/**
 * Wires the order path over the accounts of the configuration and migrates the paper broker's schema.
 * `orders.start()` rebuilds the books and reconciles them; call it before any bar is booked and the gates open.
 */
export async function openOrders(deps: OpenOrdersDeps, seams: OrderPorts): Promise<OpenedOrders> {
  const { db, paperDb, config, clock, logger, world } = deps;
  await applyMigrations(unguarded(paperDb), "paper", await readMigrations(paperMigrations));
  const fault = readPaperFault((deps.env ?? process.env)[PAPER_FAULT_ENV], config.test.test_mode);
  const orders = new GatewayOrders({
    ...seams,
    db,
    clock,
    logger,
    accounts: accountsOf(config),
    feeds: feedsOf(config),
    peer: worldPeerOf(world),
    findStrategy: (idOrName) => strategyIdOf(db, idOrName),
    weightBounds: (worldId, strategyIds) => weightBoundsOf(db, worldId, strategyIds),
    openBroker: (settings) => new PaperBroker(paperDb, { ...settings, clock, fault }),
  });
  const services = [
    orderRoutes(orders),
    accountRoutes(orders),
    rebalancingRoutes(orders, world.rebalancing),
  ];
  return { orders, services };
}
