import { hasReason, isAnswer } from "../rpc/index.ts";
import type { OnlineEvent } from "./online-run.ts";

/** The name under which a gateway tells that the DAG Manager behind it is out. */
const dagManager = "dag-manager";

/**
 * Whether the DAG Manager answers, by the calls for leases: heartbeats do not go there. Tells once when it does not, and
 * once when it does again.
 */
export class QueueReach {
  readonly #tell: (kind: OnlineEvent["kind"], message: string) => void;
  #isAway = false;

  constructor(tell: (kind: OnlineEvent["kind"], message: string) => void) {
    this.#tell = tell;
  }

  /** A call failed. That the gateway itself does not answer is told elsewhere. */
  failed(failure: unknown): void {
    if (this.#isAway || !isAnswer(failure)) return;
    if (!hasReason(failure, "PEER_UNAVAILABLE", "STORE_UNAVAILABLE", "NOT_LEADER")) return;
    if (failure.metadata.peer !== dagManager) return;
    this.#isAway = true;
    this.#tell(
      "unreachable",
      `the DAG Manager cannot work (${failure.message}): rows wait here, and it is tried again until it can`,
    );
  }

  answered(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#tell("connected", "the DAG Manager answers again");
  }
}
