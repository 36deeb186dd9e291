import type { ClockReading } from "@qmtl/core/gate";
import type { Clock, Logger, Metrics } from "@qmtl/service-kit";
import type { Db } from "@qmtl/service-kit/db";
import type { Broker } from "../paper/broker-port.ts";
import type { BarrierEnds, GateView, LeaseRelay } from "../ports.ts";
import type { AccountSettings } from "./account-settings.ts";
import type { ReadWeightBounds } from "./declared-weights.ts";
import type { WorldPeer } from "./world-peer.ts";

/** A feed as the order path must know it. */
export interface FeedSettings {
  readonly intervalSeconds: number;
  readonly periodsPerYear: number;
}

/** What the rest of the gateway gives the order path. */
export interface OrderPorts {
  readonly metrics: Metrics;
  readonly gates: GateView;
  readonly leases: LeaseRelay;
  readonly barrier: BarrierEnds;
  /** Control events wait in the outbox. */
  readonly poke: () => void;
  /** The same of events of orders, which come many per second. */
  readonly onOrderNews: () => void;
}

export interface OrderPathDeps extends OrderPorts {
  /** The gateway's database, schema `gateway`. */
  readonly db: Db;
  readonly accounts: readonly AccountSettings[];
  readonly feeds: ReadonlyMap<string, FeedSettings>;
  readonly openBroker: (settings: AccountSettings) => Broker;
  readonly peer: WorldPeer;
  /** Id of the strategy of this id or, for want of one, of this name; undefined for neither. */
  readonly findStrategy: (idOrName: string) => Promise<string | undefined>;
  readonly weightBounds: ReadWeightBounds;
  readonly clock: Clock;
  readonly logger: Logger;
  /** @default the clocks of the machine */
  readonly readClocks?: () => ClockReading;
  /** @default a random UUID */
  readonly newSessionId?: () => string;
}
