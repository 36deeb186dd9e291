import { MESSAGE_BYTES_MAX } from "@qmtl/sdk/rpc";
import { type Clock, systemClock } from "../clock.ts";
import type { ServedService } from "../handlers.ts";
import type { HealthSource } from "../health.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { createPrincipalCheck, type PrincipalCheck } from "../principal.ts";
import { ActiveCalls } from "./active-calls.ts";
import type { TicketCheck } from "./call-access.ts";
import { type SchemaRangeOf, type ServedMethod, servedMethods } from "./served-method.ts";

/** PEM files of a server. */
export interface ServerTls {
  readonly cert: Uint8Array;
  readonly key: Uint8Array;
  /** Certificate authorities of clients; with it, clients without a certificate are refused. @default none */
  readonly clientCa?: Uint8Array;
}

export interface ServerOptions {
  /** What is served. */
  services: readonly ServedService[];
  /** Address to listen on. @default "127.0.0.1" */
  host?: string;
  /** Port to listen on; 0 takes a free one. @default 0 */
  port?: number;
  /** Certificate; without it the server speaks plain text. @default none */
  tls?: ServerTls;
  /** Who may call the platform. @default anybody on loopback is `local`, owner */
  principalOf?: PrincipalCheck;
  /** Checks the tickets of requests, at a gateway's server. @default no ticket is accepted */
  checkTicket?: TicketCheck;
  /** Schema versions per service. @default 1..1 */
  schemaRange?: SchemaRangeOf;
  /** What health reports of contracts and of what they depend on. @default all contracts serve */
  health?: HealthSource;
  /** Where bugs are logged. @default nowhere */
  logger?: Logger;
  /** Timers and deadlines. @default the machine's clock */
  clock?: Clock;
  /** Largest message sent or received, bytes. @default 16 MiB */
  messageBytesMax?: number;
  /** A stream whose reader takes nothing for this long is ended with BUFFER_FULL, milliseconds. @default 60000 */
  stallMsMax?: number;
  /** Longest wait for calls in flight at `close`, milliseconds; then they are cut. @default 5000 */
  closeMsMax?: number;
}

/** Options with every default filled, and what follows from them. */
export interface ServerSetup {
  readonly methods: readonly ServedMethod[];
  readonly services: readonly ServedService[];
  readonly host: string;
  readonly port: number;
  readonly tls: ServerTls | undefined;
  readonly principalOf: PrincipalCheck;
  readonly checkTicket: TicketCheck | undefined;
  readonly health: HealthSource | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly stallMsMax: number;
  readonly closeMsMax: number;
  readonly calls: ActiveCalls;
}

/** An open server. */
export interface OpenServer extends AsyncDisposable {
  /** Port it listens on. */
  readonly port: number;
  /** Calls in progress. */
  readonly calls: number;
  /** Refuses further calls, ends streams and long polls with DRAINING, waits for unary calls, at most `closeMsMax`. */
  drain(): Promise<void>;
  /** Drains, closes the connections, and cuts those that remain. May be called twice. */
  close(): Promise<void>;
}

export function setUpServer(options: ServerOptions): ServerSetup {
  return {
    // An internal method without a handler does not belong to this port: it is refused as one that does not exist.
    methods: servedMethods(options.services, options.schemaRange).filter(
      ({ access, call }) => call !== undefined || !access.isInternal,
    ),
    services: options.services,
    host: options.host ?? "127.0.0.1",
    port: options.port ?? 0,
    tls: options.tls,
    principalOf: options.principalOf ?? createPrincipalCheck(),
    checkTicket: options.checkTicket,
    health: options.health,
    logger: options.logger ?? silentLogger,
    clock: options.clock ?? systemClock,
    messageBytesMax: options.messageBytesMax ?? MESSAGE_BYTES_MAX,
    stallMsMax: options.stallMsMax ?? 60_000,
    closeMsMax: options.closeMsMax ?? 5_000,
    calls: new ActiveCalls(),
  };
}

/** Drains the calls; whatever runs after `closeMsMax` is interrupted. */
export async function drainCalls(setup: ServerSetup): Promise<void> {
  const timer = setup.clock.setTimer(() => setup.calls.interruptAll(), setup.closeMsMax);
  await setup.calls.drain();
  timer.cancel();
}
