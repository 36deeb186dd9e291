import type { GateScope, GateState } from "@qmtl/core/gate";

/** The hash of a gate state in a scope; `stateHash` of the SDK with a digest bound to it. */
export type HashState = (state: GateState, scope: GateScope) => string;

/** Revisions whose hashes are remembered; a session that states an older one is BEHIND. */
const historyMax = 64;

/** The last gate states of a world, to check the hash of the revision a session states. */
export class GateHistory {
  readonly #hashState: HashState;
  #states: readonly GateState[];
  readonly #hashes = new Map<string, string>();

  constructor(hashState: HashState, states: readonly GateState[]) {
    this.#hashState = hashState;
    this.#states = states;
  }

  /** An independent copy. */
  clone(): GateHistory {
    return new GateHistory(this.#hashState, this.#states);
  }

  push(state: GateState): void {
    this.#states = [...this.#states, state].slice(-historyMax);
    const oldest = this.#states[0]?.revision ?? 0;
    for (const key of this.#hashes.keys()) {
      if (Number.parseInt(key, 10) < oldest) this.#hashes.delete(key);
    }
  }

  /** The right hash for a revision in a scope, or undefined when it is no longer remembered. */
  hashAt(storeEpoch: number, revision: number, scope: GateScope): string | undefined {
    const state = this.#states.find((s) => s.revision === revision && s.storeEpoch === storeEpoch);
    if (state === undefined) return undefined;
    const key = `${revision} ${storeEpoch} ${scope === "*" ? "*" : JSON.stringify(scope)}`;
    let hash = this.#hashes.get(key);
    if (hash === undefined) {
      hash = this.#hashState(state, scope);
      this.#hashes.set(key, hash);
    }
    return hash;
  }
}
