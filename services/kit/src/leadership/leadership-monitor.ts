import { QmtlError } from "@qmtl/sdk/rpc";
import type { ServedService } from "../handlers.ts";
import type { HealthSource } from "../health.ts";
import type { Logger } from "../logger.ts";
import type { GaugeMetric, Metrics } from "../metrics.ts";
import { OUTAGE_RETRY_MS } from "../outages/outage-refusal.ts";

/** The name under which health reports whether this process leads; where no other process can, it is not listed. */
export const LEADER_HEALTH = "leader";

/**
 * How a process stands among those of its service. `unsure`: the database did not say who leads, so nobody is said to,
 * and this process does not act as one who does.
 */
export type LeadershipStatus = "leads" | "standby" | "unsure";

export interface LeadershipMonitorOptions {
  /** The service, as its label in the metric and in the log: "dag-manager". */
  readonly part: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * How this process stands, for whoever watches it: its health, the gauge `standby`, and one line of the log at each
 * change. A process that does not lead answers health of its contracts with NOT_SERVING.
 */
export class LeadershipMonitor {
  readonly #part: string;
  readonly #logger: Logger;
  readonly #gauge: GaugeMetric;
  readonly #listeners = new Set<() => void>();
  #standing: LeadershipStatus | undefined;

  constructor(options: LeadershipMonitorOptions) {
    const { part, logger, metrics } = options;
    this.#part = part;
    this.#logger = logger;
    const help =
      "1 while another process leads and this one waits to take over, 0 while it leads, or nobody is known to";
    this.#gauge = metrics.gauge("standby", help, ["part"]);
    this.#gauge.set(0, { part });
  }

  /** False until it was said that it leads. */
  get isLeading(): boolean {
    return this.#standing === "leads";
  }

  /** `unsure` until it was said how it stands. */
  get standing(): LeadershipStatus {
    return this.#standing ?? "unsure";
  }

  /** Says how it is now; the same again changes nothing. `why` stands in the log. */
  set(now: LeadershipStatus, why = ""): void {
    if (this.#standing === now) return;
    this.#standing = now;
    this.#gauge.set(now === "standby" ? 1 : 0, { part: this.#part });
    const fields = { part: this.#part, ...(why === "" ? {} : { why }) };
    this.#logger.info(LINES[now], fields);
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after each change. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Health of a server with these services: none of them serves while this process does not lead. The process lives all the same. */
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

/** Health of several sources: a name serves where all that speak of it say so. */
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
