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
  /** Session to continue with, one that this caller was given before. @default a new one */
  readonly sessionId?: string | undefined;
}

/** Calls made under the ticket of a session. */
export interface TicketedCalls {
  /**
   * Makes a call with a ticket that lasts; once more with a new one when it is refused.
   *
   * @throws {QmtlError} what the gateway answers, or that it does not
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

/** The ticket of a session: asked for when there is none that lasts, and renewed before it ends. */
export class TicketKeeper implements TicketedCalls {
  readonly #options: TicketKeeperOptions;
  #sessionId: string;
  #strategyIds: readonly string[] = [];
  #sources: readonly string[] = [];
  #ticket = "";
  /** End of its life; 0 when it is not to be used for another stream. */
  #untilMs = 0;
  #isRenewing = false;
  /** A new one is being asked for. */
  #asking: Promise<void> | undefined;
  /** Renewed not before, on the wall clock. */
  #renewFromMs = Number.NEGATIVE_INFINITY;

  constructor(options: TicketKeeperOptions) {
    this.#options = options;
    this.#sessionId = options.sessionId ?? "";
  }

  /** The ticket now; empty before the first. */
  get ticket(): string {
    return this.#ticket;
  }

  /** The session it is for, as the gateway named it; empty before the first ticket. */
  get sessionId(): string {
    return this.#sessionId;
  }

  /**
   * The next `ensure` asks for a new one. False when there is nothing to drop: another ticket has taken the place of the
   * one given, or it was dropped already.
   */
  drop(ticket: string): boolean {
    if (ticket !== this.#ticket || this.#untilMs === 0) return false;
    this.#untilMs = 0;
    return true;
  }

  /** Strategies, and sources whose rows the session publishes, that the tickets cover from now on; the next `ensure` asks for one that does. Before, there is no ticket. */
  cover(strategyIds: readonly string[], sources: readonly string[] = []): void {
    this.#strategyIds = strategyIds;
    this.#sources = sources;
    this.#untilMs = 0;
  }

  /** Makes sure of a ticket that lasts. @throws {QmtlError} what the gateway answers, or that it does not */
  async ensure(signal?: AbortSignal): Promise<void> {
    while (this.#untilMs - this.#options.clock.nowMs() <= leftMsMin) {
      signal?.throwIfAborted();
      if (this.#asking === undefined) {
        this.#asking = this.#ask(signal).finally(() => {
          this.#asking = undefined;
        });
        return await this.#asking;
      }
      // Asked for by another call already: its failure is that call's, and this one asks again.
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
    const feed = this.#sources.length > 0 ? [TicketRight.FEED] : [];
    const asked = {
      worldId,
      strategyIds: [...this.#strategyIds],
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
  }

  /** Renews it in the background when its end is near; a dropped one is not. */
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
          // One that was dropped or replaced meanwhile does not come back by its renewal.
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
