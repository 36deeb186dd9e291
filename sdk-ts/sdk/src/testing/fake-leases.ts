import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Pulse } from "./pulse.ts";

interface Lease {
  epoch: number;
  sessionId: string | undefined;
  /** The build that holds it or held it last, and those that are granted it no more. */
  build: string;
  readonly excluded: Set<string>;
  /** Number of calls that wait for it. */
  candidates: number;
}

const renewal = { margin: durationFromMs(1_000), renewInterval: durationFromMs(1_000) };

/** Node leases in memory: granted to whoever asks first, kept until given up or taken away. */
export class FakeLeases {
  readonly #leases = new Map<string, Lease>();

  holder(key: string): string | undefined {
    return this.#leases.get(key)?.sessionId;
  }

  /** Grants the vacant leases; waits until one is, unless `waitMs` is 0 or some are never granted. */
  async acquire(
    sessionId: string,
    request: {
      readonly waitMs: number;
      readonly leaseMs: number;
      readonly keys: readonly { readonly computeKey: string; readonly build: string }[];
    },
    changed: Pulse,
    check: () => void,
    signal: AbortSignal,
  ) {
    for (;;) {
      check();
      const leases = request.keys.flatMap(({ computeKey, build }) => {
        const lease = this.#lease(computeKey);
        if (lease.excluded.has(build)) return [];
        // A lease that the session has already is given to it again: the answer may not have reached it.
        if (lease.sessionId !== undefined && lease.sessionId !== sessionId) return [];
        if (lease.sessionId === undefined) lease.epoch++;
        lease.sessionId = sessionId;
        lease.build = build;
        const length = durationFromMs(request.leaseMs);
        return [{ computeKey, leaseEpoch: BigInt(lease.epoch), lease: length, ...renewal }];
      });
      const isAnswer = leases.length > 0 || this.excluded(request.keys).length > 0;
      if (isAnswer || signal.aborted || request.waitMs === 0) return leases;
      const awaited = request.keys.map(({ computeKey }) => this.#lease(computeKey));
      for (const lease of awaited) lease.candidates++;
      await changed.changed(signal);
      for (const lease of awaited) lease.candidates--;
    }
  }

  /** Who holds and awaits these leases. */
  stats(keys: readonly string[]) {
    return keys.map((computeKey) => {
      const { sessionId = "", candidates } = this.#lease(computeKey);
      return { queue: { computeKey }, holderSessionId: sessionId, candidates };
    });
  }

  renew(
    sessionId: string,
    leases: readonly { readonly computeKey: string; readonly leaseEpoch: bigint }[],
  ) {
    return leases.map(({ computeKey, leaseEpoch }) => {
      const lease = this.#lease(computeKey);
      const renewed = lease.sessionId === sessionId && BigInt(lease.epoch) === leaseEpoch;
      return { computeKey, renewed, currentEpoch: BigInt(lease.epoch) };
    });
  }

  /** Keys that a build is granted no more. */
  excluded(keys: readonly { readonly computeKey: string; readonly build: string }[]): string[] {
    const own = keys.filter(({ computeKey, build }) => this.#lease(computeKey).excluded.has(build));
    return own.map(({ computeKey }) => computeKey);
  }

  release(
    sessionId: string,
    leases: readonly { readonly computeKey: string }[],
    isDiverged: boolean,
  ): void {
    for (const { computeKey } of leases) {
      const lease = this.#lease(computeKey);
      if (lease.sessionId !== sessionId) continue;
      lease.sessionId = undefined;
      if (isDiverged) lease.excluded.add(lease.build);
    }
  }

  /** Makes the leases of a session vacant, as if its process were gone. */
  lapse(sessionId: string): void {
    for (const lease of this.#leases.values()) {
      if (lease.sessionId === sessionId) lease.sessionId = undefined;
    }
  }

  /** Grants a lease to another session, as if the holder's had lapsed. */
  take(key: string, sessionId: string): void {
    const lease = this.#lease(key);
    lease.epoch++;
    lease.sessionId = sessionId;
  }

  vacate(key: string): void {
    this.#lease(key).sessionId = undefined;
  }

  /** Takes a lease away, and grants it no more to the build that held it. */
  exclude(key: string): void {
    const lease = this.#lease(key);
    lease.sessionId = undefined;
    lease.excluded.add(lease.build);
  }

  #lease(key: string): Lease {
    let lease = this.#leases.get(key);
    if (lease === undefined) {
      lease = { epoch: 0, sessionId: undefined, build: "", excluded: new Set(), candidates: 0 };
      this.#leases.set(key, lease);
    }
    return lease;
  }
}
