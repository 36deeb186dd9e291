import { hasReason, isAnswer } from "../../../rpc/index.ts";
import type { RunClock } from "./ongoing-run.ts";
import type { RunReports } from "./run-reporter.ts";

/**
 * State of a run's connection to the platform.
 *
 * - `connecting`: nothing is known yet.
 * - `connected`: the gateway answers.
 * - `waiting_for_gateway`: it cannot be reached, and the run tries again for as long as it takes.
 * - `waiting_for_services`: the gateway answers, but one of the services behind it does not.
 * - `refused`: the gateway refuses this session, and the run tries again.
 *
 * In every other state than `connected`, no order leaves once the order lease has run out; computation continues as far
 * as its inputs are available.
 */
export type ReachState =
  | "connecting"
  | "connected"
  | "waiting_for_gateway"
  | "waiting_for_services"
  | "refused";

/** State of a run's connection to the platform, and since when. */
export interface PlatformReach {
  readonly state: ReachState;
  /** When this state began, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** What is wrong and what to do about it; empty while connected. */
  readonly problem: string;
}

/** Address that applies if none is given. */
const defaultUrl = "http://127.0.0.1:7400";

/** Monitors whether the platform can be reached; each change to a state of outage is reported once. */
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

  /** The platform, or a part of it, cannot be reached; reports that if the state changes. */
  lost(failure: unknown): void {
    const state = stateAfter(failure);
    if (state === this.#now.state) return;
    const isGone = hasReason(failure, "WORLD_NOT_FOUND");
    const problem = isGone ? worldGone(failure) : problemOf(state, this.#url, causeOf(failure));
    this.#now = { state, sinceMs: this.#clock.nowMs(), problem };
    this.#reports.event("unreachable", problem);
  }

  /** The whole platform answers. Returns true if it was lost before; false for the first connection. */
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

/** A WorldService that started without its former store reports the same. */
function worldGone(failure: unknown): string {
  const fix =
    "if it was deleted, stop this run; if WorldService lost its store, restore it, or make the world again and start this run again";
  return `WORLD_NOT_FOUND (${causeOf(failure)}): no order leaves, and it is tried again; ${fix}`;
}

/** The cause of a failure, without the gateway's address, which the message already names. */
function causeOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  return /^nothing answers at \S+ \((.*)\)$/.exec(message)?.[1] ?? message;
}

/** The name by which a gateway reports that the DAG Manager behind it is unavailable. */
const dagManager = "dag-manager";

/**
 * Monitors whether the DAG Manager answers, judged by the calls for leases, because heartbeats do not reach it. Reports
 * once when it no longer answers, and once when it answers again.
 */
export class DagManagerMonitor {
  readonly #reports: RunReports;
  #isAway = false;

  constructor(reports: RunReports) {
    this.#reports = reports;
  }

  /** A call failed. An outage of the gateway itself is reported elsewhere. */
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
