import { QmtlError } from "@qmtl/sdk/rpc";
import type { ServedService } from "../handlers.ts";
import type { HealthSource } from "../health.ts";
import type { Logger } from "../logger.ts";
import type { GaugeMetric, Metrics } from "../metrics.ts";
import { OUTAGE_RETRY_MS } from "../outages/outage-refusal.ts";

/** The name under which health reports whether this process leads; where no other process can, it is not listed. */
export const LEADER_HEALTH = "leader";

/**
 * How a process stands among those of its service. `unsure`: the database did not say who leads, so this process names
 * no leader and does not act as one.
 */
export type LeadershipStatus = "leads" | "standby" | "unsure";

export interface LeadershipMonitorOptions {
  /** Label of the service in the metric and in the log, such as "dag-manager". */
  readonly part: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * Shows how this process stands: in its health, in the gauge `standby`, and in one log line per change, at `warn` where it
 * is deposed. The contracts
 * of a process that does not lead are NOT_SERVING in its health.
 */
export class LeadershipMonitor {
  readonly #part: string;
  readonly #logger: Logger;
  readonly #gauge: GaugeMetric;
  readonly #listeners = new Set<() => void>();
  #standing: LeadershipStatus | undefined;
  /** It led when it last knew who leads. */
  #hasLed = false;

  constructor(options: LeadershipMonitorOptions) {
    const { part, logger, metrics } = options;
    this.#part = part;
    this.#logger = logger;
    const help =
      "1 while another process leads and this one waits to take over, 0 while it leads, or nobody is known to";
    this.#gauge = metrics.gauge("standby", help, ["part"]);
    this.#gauge.set(0, { part });
  }

  /** False until `set` said that it leads. */
  get isLeading(): boolean {
    return this.#standing === "leads";
  }

  /** `unsure` until the first `set`. */
  get standing(): LeadershipStatus {
    return this.#standing ?? "unsure";
  }

  /** Sets how the process stands now; the same again does nothing. `why` is logged. */
  set(now: LeadershipStatus, why = ""): void {
    if (this.#standing === now) return;
    this.#standing = now;
    this.#gauge.set(now === "standby" ? 1 : 0, { part: this.#part });
    const fields = { part: this.#part, ...(why === "" ? {} : { why }) };
    // A takeover is to be seen at that level; a standby that starts is not.
    if (now === "standby" && this.#hasLed) this.#logger.warn(LINES[now], fields);
    else this.#logger.info(LINES[now], fields);
    if (now !== "unsure") this.#hasLed = now === "leads";
    for (const listener of this.#listeners) listener();
  }

  /** Calls `listener` after each change. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Health of a server with these services: none of them serves while this process does not lead; the process does. */
  healthOf(services: readonly ServedService[]): HealthSource {
    const names = [LEADER_HEALTH, ...services.map(({ service }) => service.typeName)];
    return {
      states: () => new Map(names.map((name) => [name, this.isLeading])),
      onChange: (listener) => this.onChange(listener),
    };
  }
}

const LINES: Readonly<Record<LeadershipStatus, string>> = {
  leads: "leads",
  standby: "standby: another process leads",
  unsure: "does not act as leader: the database does not say who leads",
};

/** The refusal of a process that cannot tell whether it leads: nothing was done. */
export function leaderUnknown(service: string): QmtlError {
  const message = `the database does not answer, so ${service} does not know whether it leads; try again`;
  return new QmtlError("STORE_UNAVAILABLE", message, { retryAfterMs: OUTAGE_RETRY_MS });
}

/** Joins several sources of health: a name serves when every source that reports it says so. */
export function joinedHealth(sources: readonly HealthSource[]): HealthSource {
  return {
    states() {
      const states = new Map<string, boolean>();
      for (const source of sources) {
        for (const [name, serves] of source.states()) {
          states.set(name, serves && (states.get(name) ?? true));
        }
      }
      return states;
    },
    onChange(listener) {
      const forget = sources.map((source) => source.onChange(listener));
      return () => {
        for (const each of forget) each();
      };
    },
  };
}
