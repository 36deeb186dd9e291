import type { ServedService } from "./handlers.ts";
import type { HealthSource } from "./health.ts";
import type { Logger } from "./logger.ts";
import type { GaugeMetric, Metrics } from "./metrics.ts";

export interface LeadershipMonitorOptions {
  /** The service, as its label in the metric and in the log: "dag-manager". */
  readonly part: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * Whether this process leads, for whoever watches it: its health, the gauge `standby`, and one line of the log at each
 * change. A process that waits to take over is a standby: it answers health with NOT_SERVING.
 */
export class LeadershipMonitor {
  readonly #part: string;
  readonly #logger: Logger;
  readonly #gauge: GaugeMetric;
  readonly #listeners = new Set<() => void>();
  #isLeading: boolean | undefined;

  constructor(options: LeadershipMonitorOptions) {
    const { part, logger, metrics } = options;
    this.#part = part;
    this.#logger = logger;
    const help = "1 while this process waits to take over, 0 while it leads";
    this.#gauge = metrics.gauge("standby", help, ["part"]);
    this.#gauge.set(1, { part });
  }

  /** False until it was said that it leads. */
  get isLeading(): boolean {
    return this.#isLeading === true;
  }

  /** Says how it is now; the same again changes nothing. `why` stands in the log. */
  set(isLeading: boolean, why = ""): void {
    if (this.#isLeading === isLeading) return;
    this.#isLeading = isLeading;
    this.#gauge.set(isLeading ? 0 : 1, { part: this.#part });
    const fields = { part: this.#part, ...(why === "" ? {} : { why }) };
    this.#logger.info(isLeading ? "leads" : "standby: another process leads", fields);
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after each change. Returns the unsubscribe function. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Health of a server with these services: none of them serves, nor the server itself, while this process does not lead. */
  healthOf(services: readonly ServedService[]): HealthSource {
    const names = ["", ...services.map(({ service }) => service.typeName)];
    return {
      states: () => new Map(names.map((name) => [name, this.isLeading])),
      onChange: (listener) => this.onChange(listener),
    };
  }
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
