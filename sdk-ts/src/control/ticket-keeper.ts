import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  type ControlStreamService,
  TicketPurpose,
} from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import type { SdkClock } from "./clock.ts";

export interface TicketKeeperOptions {
  readonly control: Client<typeof ControlStreamService>;
  readonly clock: SdkClock;
  readonly sessionId: string;
  readonly worldId: string;
  readonly strategyId: string;
}

/** A ticket with less life left than this opens no stream, milliseconds. */
const leftMsMin = 6_000;
/** A ticket with less life left than this is renewed, milliseconds. */
const renewLeftMs = 30_000;

/** The ticket of a session: asked for when there is none that lasts, and renewed before it ends. */
export class TicketKeeper {
  readonly #options: TicketKeeperOptions;
  #ticket = "";
  /** End of its life; 0 when it is not to be used for another stream. */
  #untilMs = 0;
  #isRenewing = false;

  constructor(options: TicketKeeperOptions) {
    this.#options = options;
  }

  /** The ticket now; empty before the first. */
  get ticket(): string {
    return this.#ticket;
  }

  /** The next `ensure` asks for a new one. */
  drop(): void {
    this.#untilMs = 0;
  }

  /** Makes sure of a ticket that lasts. @throws {QmtlError} what the gateway answers, or that it does not */
  async ensure(signal: AbortSignal): Promise<void> {
    const { clock, control, worldId, strategyId, sessionId } = this.#options;
    if (this.#untilMs - clock.nowMs() > leftMsMin) return;
    const asked = {
      worldId,
      strategyIds: [strategyId],
      topics: ["gate", "queue"],
      purpose: TicketPurpose.GATE,
      sessionId,
    };
    const { ticket, expireTime } = await control.issueTicket(asked, { signal });
    this.#keep(ticket, expireTime);
  }

  /** Renews it in the background when its end is near; a dropped one is not. */
  look(): void {
    const { clock, control } = this.#options;
    const isFar = this.#untilMs - clock.nowMs() >= renewLeftMs;
    if (isFar || this.#isRenewing || this.#untilMs === 0) return;
    this.#isRenewing = true;
    control
      .refreshTicket({ ticket: this.#ticket })
      .then(
        ({ ticket, expireTime }) => this.#keep(ticket, expireTime),
        () => {}, // asked again with the next look
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
