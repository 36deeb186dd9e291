import type { Logger } from "../logger.ts";
import { type Leadership, notLeading } from "./leadership.ts";
import type { LeadershipStatus } from "./leadership-monitor.ts";

/** What a service does as its leadership begins and ends. */
export interface LeaderWork {
  /**
   * Reads what only a leader keeps, and begins what only a leader does. If it rejects, the next renewal tries again.
   */
  begin(): Promise<void>;
  /** Drops what was read and ends what was begun. Also called before each `begin`. */
  end(): Promise<void>;
  /** Called after the first attempt to lead and at each change; with "leads" once `begin` has resolved. */
  onStanding(standing: LeadershipStatus): Promise<void>;
}

export interface LeadershipTrackerOptions {
  readonly leadership: Leadership;
  /** Name of the service in refusals, such as "WorldService". */
  readonly service: string;
  readonly logger: Logger;
  readonly work: LeaderWork;
}

/**
 * Begins a leader's work when leadership was won and ends it when it was lost, one after the other; meanwhile the
 * leadership is renewed.
 */
export class LeadershipTracker {
  readonly #options: LeadershipTrackerOptions;
  #leadingSinceMs: number | undefined;
  #changing: Promise<void> = Promise.resolve();
  #isReady = false;
  /** The database did not say who leads, or did not let the work begin. */
  #isUnsure = false;
  #isStopping = false;

  constructor(options: LeadershipTrackerOptions) {
    this.#options = options;
  }

  /** Whether this process leads and its work has begun. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Since when this process has led without a break, by the monotonic clock; undefined unless it is ready. */
  get readySinceMs(): number | undefined {
    return this.#isReady ? this.#leadingSinceMs : undefined;
  }

  /** How this process stands; a leader is still `unsure` after an outage, until its work has begun. */
  get standing(): LeadershipStatus {
    const { standing } = this.#options.leadership;
    return standing === "leads" && this.#isUnsure ? "unsure" : standing;
  }

  /**
   * Refuses unless this process leads, as far as it knows, and has begun its work.
   *
   * @throws {QmtlError} NOT_LEADER when another one leads, or its own work has not begun yet; STORE_UNAVAILABLE when
   * the database did not say who leads.
   */
  mustLead(): void {
    if (!this.#isReady) throw notLeading(this.standing, this.#options.service);
  }

  /** Takes the lead, if it is free, and begins its work. */
  async start(): Promise<void> {
    await this.#options.leadership.start(() => {
      // A beginning that failed is tried again at the next renewal.
      this.#changing = this.#changing.catch(() => undefined).then(() => this.#follow());
      this.#changing.catch(() => undefined);
    });
    await this.#changing;
    if (!this.#isReady) await this.#options.work.onStanding(this.standing);
  }

  /** Gives the lead up and ends its work. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#options.leadership.stop();
    await this.#changing.catch(() => undefined);
    await this.#end();
  }

  async #follow(): Promise<void> {
    const { leadership, logger, service, work } = this.#options;
    const { beganAtMs: since, standing } = leadership;
    if (since !== undefined && since === this.#leadingSinceMs) return;
    this.#leadingSinceMs = since;
    await this.#end();
    if (this.#isStopping) return;
    if (since === undefined) {
      this.#isUnsure = standing === "unsure";
      return work.onStanding(standing);
    }
    try {
      await work.begin();
      await work.onStanding("leads");
      this.#isUnsure = false;
      this.#isReady = true;
    } catch (error) {
      logger.error("the work of a leader could not start", { service, error });
      this.#leadingSinceMs = undefined;
      this.#isUnsure = true;
      throw error;
    }
  }

  #end(): Promise<void> {
    this.#isReady = false;
    return this.#options.work.end();
  }
}
