import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import type { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";
import type { SdkClock } from "./clock.ts";

export interface TicketKeeperOptions {
  readonly control: Client<typeof ControlStreamService>;
  readonly clock: SdkClock;
  readonly worldId: string;
  readonly strategyId: string;
  /** Sources whose rows the session publishes. @default none */
  readonly sources?: readonly string[];
  /** Session to go on with, one that this caller was given before. @default a new one */
  readonly sessionId?: string | undefined;
}

/** A ticket with less life left than this opens no stream, milliseconds. */
const leftMsMin = 6_000;
/** A ticket with less life left than this is renewed, milliseconds. */
const renewLeftMs = 30_000;
/** Pause after a renewal that failed, milliseconds. */
const renewAgainMs = 2_000;

/** The ticket of a session: asked for when there is none that lasts, and renewed before it ends. */
export class TicketKeeper {
  readonly #options: TicketKeeperOptions;
  #sessionId: string;
  #ticket = "";
  /** End of its life; 0 when it is not to be used for another stream. */
  #untilMs = 0;
  #isRenewing = false;
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

  /** Makes sure of a ticket that lasts. @throws {QmtlError} what the gateway answers, or that it does not */
  async ensure(signal: AbortSignal): Promise<void> {
    const { clock, control, worldId, strategyId, sources = [] } = this.#options;
    if (this.#untilMs - clock.nowMs() > leftMsMin) return;
    const feed = sources.length > 0 ? [TicketRight.FEED] : [];
    const asked = {
      worldId,
      strategyIds: [strategyId],
      sources: [...sources],
      topics: [Topic.GATE, Topic.QUEUE, Topic.TAG],
      rights: [TicketRight.COMPUTE, TicketRight.TRADE, ...feed],
      sessionId: this.#sessionId,
    };
    const { ticket, expireTime, sessionId } = await control.issueTicket(asked, { signal });
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
