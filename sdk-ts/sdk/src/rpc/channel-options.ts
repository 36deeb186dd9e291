import { type ChannelCredentials, type ClientOptions, credentials } from "@grpc/grpc-js";
import { isLoopbackHost } from "./loopback-host.ts";
import { QmtlError } from "./qmtl-error.ts";
import { REPEATABLE_METHODS } from "./repeatable-methods.ts";

/** Largest message either side sends or takes: 16 MiB. Beyond it the call fails with RESOURCE_EXHAUSTED. */
export const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** Certificates and key of a TLS connection, the bytes of PEM files. */
export interface ClientTls {
  /** Certificate authorities to trust. @default those of the system */
  ca?: Uint8Array;
  /** Certificate chain of this client, with `key`. @default none */
  cert?: Uint8Array;
  /** Private key of this client. @default none */
  key?: Uint8Array;
}

export interface ChannelSettings {
  /** TLS for `https:` addresses. @default certificate authorities of the system */
  tls?: ClientTls;
  /** Methods repeated on UNAVAILABLE, as `package.Service/Method`; empty: none. @default `REPEATABLE_METHODS` */
  repeatableMethods?: readonly string[];
  /** Attempts of a repeatable call, 2 to 5, the first one counted. @default 4 */
  attemptsMax?: number;
  /** A ping is sent after this long without traffic, milliseconds. @default 20000 */
  keepaliveMs?: number;
  /** The connection is given up when a ping is unanswered for this long, milliseconds. @default 5000 */
  keepaliveTimeoutMs?: number;
  /** Longest wait between two attempts to connect, milliseconds. @default 5000 */
  reconnectDelayMsMax?: number;
  /** Largest message sent or taken, bytes. @default MESSAGE_BYTES_MAX */
  messageBytesMax?: number;
  /** With several addresses: called when a different one has become the leader. @default nothing */
  onMoved?: () => void;
}

/** Service config: round robin over all addresses of the name, and the retry policy of the repeatable methods. */
export function serviceConfig(repeatable: readonly string[], attemptsMax: number): string {
  const name = repeatable.map((path) => {
    const [service = "", method = ""] = path.split("/");
    return { service, method };
  });
  const retryPolicy = {
    maxAttempts: attemptsMax,
    initialBackoff: "0.1s",
    maxBackoff: "2s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  return JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: name.length === 0 ? [] : [{ name, retryPolicy }],
  });
}

/** What grpc-js needs for a channel. */
export interface ChannelParts {
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly options: ClientOptions;
}

/**
 * Channel parts for `http://host:port` (plain) or `https://host:port` (TLS). Several addresses behind one name are used
 * in turn.
 *
 * @throws {QmtlError} CONFIG_INVALID for any other address.
 */
export function channelParts(url: string, settings: ChannelSettings): ChannelParts {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (
    parsed === undefined ||
    !["http:", "https:"].includes(parsed.protocol) ||
    parsed.hostname === ""
  ) {
    throw new QmtlError("CONFIG_INVALID", `not an address: "${url}"`, {
      fields: [{ field: "url", description: "expected http://host:port or https://host:port" }],
    });
  }
  const secure = parsed.protocol === "https:";
  const bytesMax = settings.messageBytesMax ?? MESSAGE_BYTES_MAX;
  return {
    target: `${parsed.hostname}:${parsed.port === "" ? (secure ? 443 : 80) : parsed.port}`,
    credentials: secure ? tlsCredentials(settings.tls ?? {}) : credentials.createInsecure(),
    options: {
      "grpc.service_config": serviceConfig(
        settings.repeatableMethods ?? REPEATABLE_METHODS,
        settings.attemptsMax ?? 4,
      ),
      "grpc.service_config_disable_resolution": 1,
      "grpc.use_local_subchannel_pool": 1,
      // Channelz would record every call, and nobody reads the records.
      "grpc.enable_channelz": 0,
      "grpc.enable_http_proxy": isLoopbackHost(parsed.hostname) ? 0 : 1,
      "grpc.keepalive_time_ms": settings.keepaliveMs ?? 20_000,
      "grpc.keepalive_timeout_ms": settings.keepaliveTimeoutMs ?? 5_000,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": settings.reconnectDelayMsMax ?? 5_000,
      "grpc.max_receive_message_length": bytesMax,
      "grpc.max_send_message_length": bytesMax,
    },
  };
}

function tlsCredentials(tls: ClientTls): ChannelCredentials {
  const pem = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : Buffer.from(bytes));
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert));
}
