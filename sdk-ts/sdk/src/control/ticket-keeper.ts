import { hostname } from "node:os";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import { hasReason } from "../rpc/index.ts";
import type { SdkClock } from "./clock.ts";

export interface TicketKeeperOptions {
  readonly control: Client<typeof ControlStreamService>;
  readonly clock: SdkClock;
  readonly worldId: string;
  /** Id of an earlier session of this caller to continue. @default a new session */
  readonly sessionId?: string | undefined;
}

/** Calls made under the ticket of a session. */
export interface TicketedCalls {
  /**
   * Makes a call with a ticket that is not about to expire. If the ticket is refused, makes the call once more with a
   * new one.
   *
   * @throws {QmtlError} what the gateway answered, or that it did not
   */
  call<T>(make: (ticket: string) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

/** When this process started, milliseconds since the epoch; shown to people only. */
const startedAtMs = Math.trunc(performance.timeOrigin);
/** A ticket with less life left than this opens no stream, milliseconds. */
const leftMsMin = 6_000;
/** A ticket with less life left than this is renewed, milliseconds. */
const renewLeftMs = 30_000;
/** Pause after a renewal that failed, milliseconds. */
const renewAgainMs = 2_000;
/** Longest wait for a new ticket, milliseconds. */
const issueMsMax = 5_000;

/** The ticket of a session: requested when there is none or it is about to expire, and renewed before it expires. */
export class TicketKeeper implements TicketedCalls {
  readonly #options: TicketKeeperOptions;
  #sessionId: string;
  #strategyIds: readonly string[] = [];
  #sources: readonly string[] = [];
  #ticket = "";
  /** When the ticket expires, milliseconds since the epoch; 0 if it must be replaced before the next use. */
  #untilMs = 0;
  #isRenewing = false;
  #onCovered: (() => void) | undefined;
  /** The request for a new ticket that is under way. */
  #asking: Promise<void> | undefined;
  /** Time before which no renewal is tried, wall clock, milliseconds. */
  #renewFromMs = Number.NEGATIVE_INFINITY;

  constructor(options: TicketKeeperOptions) {
    this.#options = options;
    this.#sessionId = options.sessionId ?? "";
  }

  /** The current ticket; empty before the first. */
  get ticket(): string {
    return this.#ticket;
  }

  /** Id of the session, given in the options or by the gateway; empty before the first ticket of a new session. */
  get sessionId(): string {
    return this.#sessionId;
  }

  /**
   * Makes the next `ensure` request a new ticket. Returns false if there is nothing to drop: `ticket` was replaced or
   * dropped before.
   */
  drop(ticket: string): boolean {
    if (ticket !== this.#ticket || this.#untilMs === 0) return false;
    this.#untilMs = 0;
    return true;
  }

  /**
   * Sets the strategies that tickets cover from now on, and the sources whose rows the session publishes. The next
   * `ensure` requests a ticket that covers them.
   */
  cover(strategyIds: readonly string[], sources: readonly string[] = []): void {
    this.#strategyIds = strategyIds;
    this.#sources = sources;
    this.#untilMs = 0;
  }

  /**
   * Sets the strategies that tickets cover from the next one on, with the same sources. `onCovered` is called when
   * there is such a ticket, before anybody uses it; not if others are to be covered by then.
   */
  coverOnly(strategyIds: readonly string[], onCovered: () => void): void {
    this.cover(strategyIds, this.#sources);
    this.#onCovered = onCovered;
  }

  /**
   * Makes sure that the ticket is valid for more than 6 s.
   *
   * @throws {QmtlError} what the gateway answered, or that it did not
   */
  async ensure(signal?: AbortSignal): Promise<void> {
    while (this.#untilMs - this.#options.clock.nowMs() <= leftMsMin) {
      signal?.throwIfAborted();
      if (this.#asking === undefined) {
        this.#asking = this.#ask(signal).finally(() => {
          this.#asking = undefined;
        });
        return await this.#asking;
      }
      // Another call has requested a ticket already: a failure is reported to that call, and this one requests again.
      const isGiven = await this.#asking.then(
        () => true,
        () => false,
      );
      if (isGiven) return;
    }
  }

  async call<T>(make: (ticket: string) => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.ensure(signal);
    const ticket = this.#ticket;
    try {
      return await make(ticket);
    } catch (failure) {
      if (!hasReason(failure, "TICKET_INVALID", "TICKET_EXPIRED")) throw failure;
    }
    this.drop(ticket);
    await this.ensure(signal);
    return make(this.#ticket);
  }

  async #ask(signal: AbortSignal | undefined): Promise<void> {
    const { control, worldId } = this.#options;
    const covered = this.#strategyIds;
    const feed = this.#sources.length > 0 ? [TicketRight.FEED] : [];
    const asked = {
      worldId,
      strategyIds: [...covered],
      sources: [...this.#sources],
      topics: [Topic.GATE, Topic.QUEUE, Topic.TAG],
      rights: [TicketRight.COMPUTE, TicketRight.TRADE, ...feed],
      sessionId: this.#sessionId,
      origin: { process: `${hostname()}:${process.pid}`, startTime: timestampFromMs(startedAtMs) },
    };
    const { ticket, expireTime, sessionId } = await control.issueTicket(asked, {
      ...(signal === undefined ? {} : { signal }),
      timeoutMs: issueMsMax,
    });
    if (this.#sessionId === "") this.#sessionId = sessionId;
    this.#keep(ticket, expireTime);
    // Meanwhile it was to cover others.
    if (covered !== this.#strategyIds) {
      this.#untilMs = 0;
      return;
    }
    this.#onCovered?.();
    this.#onCovered = undefined;
  }

  /** Renews the ticket in the background if less than 30 s are left; a dropped ticket is not renewed. */
  look(): void {
    const { clock, control } = this.#options;
    const nowMs = clock.nowMs();
    const isFar = this.#untilMs - nowMs >= renewLeftMs;
    if (isFar || this.#isRenewing || this.#untilMs === 0 || nowMs < this.#renewFromMs) return;
    this.#isRenewing = true;
    const before = this.#ticket;
    control
      .refreshTicket({ ticket: before })
      .then(
        ({ ticket, expireTime }) => {
          // A ticket that was dropped or replaced meanwhile must not come back through its renewal.
          if (this.#ticket === before && this.#untilMs !== 0) this.#keep(ticket, expireTime);
        },
        () => {
          this.#renewFromMs = clock.nowMs() + renewAgainMs;
        },
      )
      .finally(() => {
        this.#isRenewing = false;
      });
  }

  #keep(ticket: string, expireTime: Parameters<typeof timestampMs>[0] | undefined): void {
    this.#ticket = ticket;
    this.#untilMs = expireTime === undefined ? Number.POSITIVE_INFINITY : timestampMs(expireTime);
  }
}
