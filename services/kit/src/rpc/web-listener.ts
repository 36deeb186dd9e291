import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import {
  createServer as createHttp2Server,
  createSecureServer,
  type ServerHttp2Session,
} from "node:http2";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import type { ServerTls } from "./door.ts";
import { closeUnlessUsed } from "./half-open.ts";
import type { WebHandler } from "./web-guard.ts";

/** First bytes of an HTTP/2 connection; no HTTP/1.1 method starts like this. */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0");
/** A connection that sends nothing for this long at its start is dropped, milliseconds. */
const FIRST_BYTES_MS_MAX = 10_000;

/**
 * HTTP/1.1 and HTTP/2 on one port. With TLS the handshake settles which; without, the first bytes of the
 * connection do, which a plain Node server would not look at.
 */
export class WebListener {
  readonly #server: NetServer;
  readonly #http1: HttpServer;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(handle: WebHandler, tls: ServerTls | undefined) {
    const onSession = (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      closeUnlessUsed(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => session.destroy());
    };
    this.#http1 = createHttpServer(handle);
    // It never listens itself, but only then would it watch for slow headers and know its idle connections.
    if (tls === undefined) this.#http1.emit("listening");
    if (tls === undefined) {
      const http2 = createHttp2Server(handle).on("session", onSession);
      this.#server = createNetServer((socket) => this.#dispatch(socket, http2));
    } else {
      const { cert, key, clientCa } = tls;
      this.#server = createSecureServer(
        {
          allowHTTP1: true,
          cert: Buffer.from(cert),
          key: Buffer.from(key),
          ...(clientCa === undefined ? {} : { ca: Buffer.from(clientCa), requestCert: true }),
        },
        handle,
      ).on("session", onSession);
    }
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

  /** Takes no more connections, says goodbye to the idle ones; resolves when all are closed. */
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

  #dispatch(socket: Socket, http2: NetServer): void {
    socket.on("error", () => socket.destroy());
    socket.setTimeout(FIRST_BYTES_MS_MAX, () => socket.destroy());
    socket.once("data", (first: Buffer) => {
      socket.setTimeout(0);
      socket.pause();
      socket.unshift(first);
      const start = first.subarray(0, HTTP2_PREFACE.length);
      const isHttp2 = start.equals(HTTP2_PREFACE.subarray(0, start.length)) && start.length > 2;
      (isHttp2 ? http2 : this.#http1).emit("connection", socket);
      if (!isHttp2) socket.resume();
    });
  }
}
