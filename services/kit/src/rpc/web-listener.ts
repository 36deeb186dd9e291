import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { closeUnlessUsed } from "./half-open.ts";
import type { ServerTls } from "./server-setup.ts";
import type { WebHandler } from "./web-guard.ts";

/** First bytes of an HTTP/2 connection; no HTTP/1.1 method starts like this. */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0");
/**
 * A connection that sends nothing for this long at its start, or does not finish its handshake, is dropped,
 * milliseconds.
 */
const FIRST_BYTES_MS_MAX = 10_000;

/**
 * Time limits of HTTP/1.1, milliseconds; Node's own are minutes. The call of a method has a shorter limit, which
 * refuses it with a reason; these are for requests that nobody reads.
 */
const HTTP1_BOUNDS = {
  headersTimeout: 10_000,
  requestTimeout: 40_000,
  connectionsCheckingInterval: 5_000,
};

/**
 * HTTP/1.1 and HTTP/2 on one port. With TLS the handshake decides which; without it the first bytes of the connection
 * do, at which a plain Node server would not look.
 */
export class WebListener {
  readonly #server: NetServer;
  readonly #http1: HttpServer;
  readonly #http2: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(handle: WebHandler, tls: ServerTls | undefined) {
    this.#http1 = createHttpServer(HTTP1_BOUNDS, handle);
    // It never listens itself, but only a listening server watches for slow requests and tracks idle connections.
    this.#http1.emit("listening");
    this.#http2 = createHttp2Server(handle).on("session", (session) => this.#enter(session));
    passOverResetStreams(this.#http2);
    this.#server =
      tls === undefined
        ? createNetServer((socket) => this.#dispatch(socket))
        : createTlsServer({ ...tlsOptions(tls), ALPNProtocols: ["h2", "http/1.1"] }, (socket) => {
            socket.on("error", () => socket.destroy());
            this.#begin(socket, socket.alpnProtocol === "h2");
          });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  /** Accepts no more connections and closes the idle ones; resolves when all are closed. */
  goodbye(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#http1.close(() => {});
    for (const session of this.#sessions) session.close();
    return closed;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  #enter(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    closeUnlessUsed(session);
    session.on("close", () => this.#sessions.delete(session));
    session.on("error", () => session.destroy());
  }

  #dispatch(socket: Socket): void {
    const drop = () => socket.destroy();
    socket.on("error", drop);
    socket.setTimeout(FIRST_BYTES_MS_MAX, drop);
    socket.once("data", (first: Buffer) => {
      socket.setTimeout(0);
      socket.pause();
      socket.unshift(first);
      const start = first.subarray(0, HTTP2_PREFACE.length);
      const isHttp2 = start.equals(HTTP2_PREFACE.subarray(0, start.length)) && start.length > 2;
      this.#begin(socket, isHttp2);
      if (!isHttp2) socket.resume();
    });
  }

  #begin(socket: Socket, isHttp2: boolean): void {
    (isHttp2 ? this.#http2 : this.#http1).emit("connection", socket);
  }
}

function tlsOptions({ cert, key, clientCa }: ServerTls) {
  const clients = clientCa === undefined ? {} : { ca: Buffer.from(clientCa), requestCert: true };
  return {
    cert: Buffer.from(cert),
    key: Buffer.from(key),
    handshakeTimeout: FIRST_BYTES_MS_MAX,
    ...clients,
  };
}

type StreamListener = (stream: ServerHttp2Stream, ...rest: readonly unknown[]) => void;

/**
 * Makes a stream that is reset at once cost next to nothing: its request and response are created, and the handler is
 * called, only if it is still open once everything that came in with it was read. To open streams and reset them as
 * fast as the connection takes it needs no key, and would hold up everybody else.
 */
function passOverResetStreams(server: Http2Server): void {
  const listeners = server.listeners("stream") as StreamListener[];
  server.removeAllListeners("stream");
  server.on("stream", (stream: ServerHttp2Stream, ...rest: readonly unknown[]) => {
    if (isOver(stream)) return;
    const ignore = () => {};
    stream.on("error", ignore);
    setImmediate(() => {
      if (isOver(stream)) return;
      for (const listener of listeners) listener.call(server, stream, ...rest);
      stream.off("error", ignore);
    });
  });
}

const isOver = (stream: ServerHttp2Stream): boolean => stream.destroyed || stream.closed;
