import { statfsSync } from "node:fs";
import {
  type Clock,
  type ClockTimer,
  DATABASE,
  EVENT_BUS,
  type HealthSource,
  type OutageLog,
  type ServedService,
  workOf,
} from "@qmtl/service-kit";
import type { Storage } from "./storage.ts";

/** With less free space than this on the disk of the data folder, the store is about to fail. */
const freeBytesMin = 1024 ** 3;
/** How often the disk is checked, milliseconds. */
const lookEveryMs = 30_000;

/** Contracts that a gateway passes on, by package, and the peer that serves them. */
const peerOfPackage: readonly (readonly [string, string])[] = [
  ["qmtl.world.", "world-service"],
  ["qmtl.dagmanager.", "dag-manager"],
  ["qmtl.data.", "dag-manager"],
];

interface ServiceHealthDeps {
  readonly storage: Pick<Storage, "folder" | "bus">;
  readonly outages: OutageLog;
  readonly clock: Clock;
  readonly services: readonly ServedService[];
  /** Peers behind a gateway. @default none */
  readonly peers?: readonly string[];
}

/**
 * Health of a service: `store/KIND`, `bus/KIND`, `peer/NAME` and `disk` besides its contracts, which do not serve while
 * the store is down, or the peer they are passed on to is, or cannot work.
 */
export class ServiceHealth implements HealthSource, Disposable {
  readonly #deps: ServiceHealthDeps;
  readonly #listeners = new Set<() => void>();
  #hasRoom = true;
  #timer: ClockTimer | undefined;

  constructor(deps: ServiceHealthDeps) {
    this.#deps = deps;
    const { folder } = deps.storage;
    if (folder !== undefined) this.#lookAt(folder);
  }

  states(): ReadonlyMap<string, boolean> {
    const { storage, outages, services, peers = [] } = this.#deps;
    const down = new Set(
      outages
        .states()
        .filter(({ isUp }) => !isUp)
        .map(({ name }) => name),
    );
    const hasStore = !down.has(DATABASE);
    const states = new Map<string, boolean>([
      [storage.folder === undefined ? "store/postgres" : "store/embedded", hasStore],
      [`bus/${storage.bus.kind}`, !down.has(EVENT_BUS)],
      ...peers.map((peer) => [`peer/${peer}`, !down.has(peer)] as const),
    ]);
    if (storage.folder !== undefined) states.set("disk", this.#hasRoom);
    for (const { service } of services) {
      const { typeName } = service;
      const [, peer] = peerOfPackage.find(([start]) => typeName.startsWith(start)) ?? [];
      const isForwarded = peer !== undefined && peers.includes(peer);
      states.set(
        typeName,
        hasStore && !(isForwarded && (down.has(peer) || down.has(workOf(peer)))),
      );
    }
    return states;
  }

  onChange(listener: () => void): () => void {
    const forget = this.#deps.outages.onChange(listener);
    this.#listeners.add(listener);
    return () => {
      forget();
      this.#listeners.delete(listener);
    };
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }

  #lookAt(folder: string): void {
    const { bavail, bsize } = statfsSync(folder);
    const hasRoom = bavail * bsize >= freeBytesMin;
    if (hasRoom !== this.#hasRoom) {
      this.#hasRoom = hasRoom;
      for (const listener of this.#listeners) listener();
    }
    this.#timer = this.#deps.clock.setTimer(() => this.#lookAt(folder), lookEveryMs);
  }
}
