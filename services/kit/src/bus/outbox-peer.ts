import { OutboxService } from "@qmtl/contracts/qmtl/system/v1/outbox_service_pb";
import { connectTo } from "@qmtl/sdk/rpc";
import { type Clock, systemClock } from "../clock.ts";
import { type GatewayKey, PRINCIPAL_HEADER } from "../principal-signature.ts";
import { PrincipalSigner } from "../principal-signer.ts";
import type { EventSource, WatchedEvents, WatchedRange } from "./event-source.ts";

export interface OutboxPeerOptions {
  /** Name of the service, such as "world-service". */
  name: string;
  /** Its address: `http://host:port`. */
  url: string;
  /** What this gateway signs its calls with. */
  gatewayKey: GatewayKey;
  /** Certificate authorities to trust at https addresses. @default those of the system */
  ca?: Uint8Array | undefined;
  clock?: Clock;
}

/** Longest pause between two attempts to reach a peer, milliseconds. */
const RECONNECT_MS_MAX = 500;
/** A peer that falls silent is noticed after at most twice this, milliseconds. */
const KEEPALIVE_MS = 5_000;

/**
 * The events of a service, over gRPC. No I/O before it is watched.
 *
 * @throws {QmtlError} CONFIG_INVALID: a bad address.
 */
export function connectOutboxPeer(options: OutboxPeerOptions): EventSource {
  const { name, url, gatewayKey, ca, clock = systemClock } = options;
  const signer = new PrincipalSigner(gatewayKey, clock);
  const self = { name: gatewayKey.gatewayId, role: "gateway" } as const;
  const connection = connectTo(url, {
    reconnectDelayMsMax: RECONNECT_MS_MAX,
    keepaliveMs: KEEPALIVE_MS,
    headers: () => ({ [PRINCIPAL_HEADER]: signer.sign(self) }),
    ...(ca === undefined ? {} : { tls: { ca } }),
  });
  const client = connection.client(OutboxService);
  async function* watch(range: WatchedRange, signal: AbortSignal): AsyncGenerator<WatchedEvents> {
    const { topics, cursor = "", fromBeginning } = range;
    const request = { topics: [...topics], cursor, fromBeginning };
    for await (const answer of client.watchEvents(request, { signal })) {
      const { logId, events, cursor: next } = answer;
      yield {
        logId,
        cursor: next,
        events: events.map(({ topic, key, payload, headers, position }) => ({
          topic,
          key,
          // A copy: the view would keep the whole answer alive.
          payload: new Uint8Array(payload),
          headers,
          partition: logId,
          position: Number(position),
        })),
      };
    }
  }
  return { name, watch, close: () => connection.close() };
}
