import { hasReason, isAnswer } from "../../../rpc/index.ts";
import type { RunClock } from "./ongoing-run.ts";
import type { RunReports } from "./run-reporter.ts";

/**
 * How a run stands with the platform.
 *
 * - `connecting`: nothing is known yet.
 * - `connected`: the gateway answers.
 * - `waiting_for_gateway`: it cannot be reached, and is tried again for as long as it takes.
 * - `waiting_for_services`: the gateway answers, one of the services behind it does not.
 * - `refused`: the gateway does not let this session in; it asks again.
 *
 * In all but `connected` no order leaves once the lease has run out, and what is computed goes on as far as its inputs
 * are there.
 */
export type ReachState =
  | "connecting"
  | "connected"
  | "waiting_for_gateway"
  | "waiting_for_services"
  | "refused";

/** How a run stands with the platform, and since when. */
export interface PlatformReach {
  readonly state: ReachState;
  /** When it came to this state, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** What is wrong and what to do about it; empty while connected. */
  readonly problem: string;
}

/** Address that applies when nobody gave one. */
const defaultUrl = "http://127.0.0.1:7400";

/** Whether the platform can be reached; reports once when it cannot, and once when it can again. */
export class ConnectionMonitor {
  readonly #url: string;
  readonly #clock: RunClock;
  readonly #reports: RunReports;
  #now: PlatformReach;

  /** @param url address of the gateway, for messages */
  constructor(url: string, clock: RunClock, reports: RunReports) {
    this.#url = url;
    this.#clock = clock;
    this.#reports = reports;
    this.#now = { state: "connecting", sinceMs: clock.nowMs(), problem: "" };
  }

  get now(): PlatformReach {
    return this.#now;
  }

  /** It cannot be reached, or not all of it. */
  lost(failure: unknown): void {
    const state = stateAfter(failure);
    if (state === this.#now.state) return;
    const isGone = hasReason(failure, "WORLD_NOT_FOUND");
    const problem = isGone ? worldGone(failure) : problemOf(state, this.#url, causeOf(failure));
    this.#now = { state, sinceMs: this.#clock.nowMs(), problem };
    this.#reports.event("unreachable", problem);
  }

  /** All of it answers. True when it did not before. */
  reached(): boolean {
    const { state } = this.#now;
    if (state === "connected") return false;
    this.#now = { state: "connected", sinceMs: this.#clock.nowMs(), problem: "" };
    return state !== "connecting";
  }
}

function stateAfter(failure: unknown): ReachState {
  if (!isAnswer(failure)) return "waiting_for_gateway";
  const isBehind = hasReason(
    failure,
    "PEER_UNAVAILABLE",
    "NOT_LEADER",
    "STORE_UNAVAILABLE",
    "DRAINING",
    "OUTCOME_UNKNOWN",
  );
  return isBehind ? "waiting_for_services" : "refused";
}

function problemOf(state: ReachState, url: string, cause: string): string {
  const safe = "no order leaves, and it is tried again until it works";
  if (state === "waiting_for_services") {
    const fix = "see that WorldService and the DAG Manager run and that gateway.world_service_url";
    return `the gateway at ${url} answers, but not all behind it does (${cause}): ${safe}; ${fix} and gateway.dag_manager_url name them`;
  }
  if (state === "refused") return `the gateway at ${url} refuses this session (${cause}): ${safe}`;
  const where = url === defaultUrl ? `the default address ${url}` : url;
  const fix =
    'start one with "qmtl up", or name another with --gateway-url, the option gatewayUrl or sdk.gateway_url; without any, use --offline or Runner.offline()';
  return `no gateway at ${where} (${cause}): ${safe}; ${fix}`;
}

/** Also what a WorldService says that came up without the store it had. */
function worldGone(failure: unknown): string {
  const fix =
    "if it was deleted, stop this run; if WorldService lost its store, restore it, or make the world again and start this run again";
  return `WORLD_NOT_FOUND (${causeOf(failure)}): no order leaves, and it is tried again; ${fix}`;
}

/** Why; where nothing answers at the gateway's address, that is named already. */
function causeOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  return /^nothing answers at \S+ \((.*)\)$/.exec(message)?.[1] ?? message;
}

/** The name under which a gateway tells that the DAG Manager behind it is out. */
const dagManager = "dag-manager";

/**
 * Whether the DAG Manager answers, judged by the calls for leases: heartbeats do not go there. Reports once when it
 * does not, and once when it does again.
 */
export class DagManagerMonitor {
  readonly #reports: RunReports;
  #isAway = false;

  constructor(reports: RunReports) {
    this.#reports = reports;
  }

  /** A call failed. That the gateway itself does not answer is told elsewhere. */
  failed(failure: unknown): void {
    if (this.#isAway || !isAnswer(failure)) return;
    if (!hasReason(failure, "PEER_UNAVAILABLE", "STORE_UNAVAILABLE", "NOT_LEADER")) return;
    if (failure.metadata.peer !== dagManager) return;
    this.#isAway = true;
    this.#reports.event(
      "unreachable",
      `the DAG Manager cannot work (${failure.message}): rows wait here, and it is tried again until it can`,
    );
  }

  answered(): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#reports.event("connected", "the DAG Manager answers again");
  }
}
