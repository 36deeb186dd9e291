import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isLoopbackHost } from "@qmtl/sdk/rpc";
import type { Metrics } from "./metrics.ts";
import { cannotListen } from "./rpc/cannot-listen.ts";

/** The address it listens on; a scraper on another machine needs a proxy that checks who asks. */
const host = "127.0.0.1";
/** Largest number of connections at the same time; one more is refused. */
const connectionsMax = 32;

/** An open page of metrics. */
export interface MetricsPage {
  /** `http://127.0.0.1:PORT/metrics` */
  readonly address: string;
  /** Closes the page and every connection to it. May be called twice. */
  close(): Promise<void>;
}

/**
 * Serves the metrics of this process as Prometheus text at `/metrics`, on loopback alone. Port 0 takes any free one.
 *
 * @throws {QmtlError} PORT_TAKEN
 */
export async function openMetricsPage(
  port: number,
  metrics: Pick<Metrics, "metricsText" | "contentType">,
): Promise<MetricsPage> {
  const server = createServer((request, response) => {
    answer(request, response, metrics).catch(() => response.destroy());
  });
  server.maxConnections = connectionsMax;
  const address = `http://${host}:${await listen(server, port)}/metrics`;
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    address,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (failure) => reject(cannotListen(host, port, failure)));
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
}

async function answer(
  { method = "", url = "", headers }: IncomingMessage,
  response: ServerResponse,
  metrics: Pick<Metrics, "metricsText" | "contentType">,
): Promise<void> {
  const named = `http://${headers.host ?? ""}`;
  // A web page of another site must not read this by having its own name resolve to loopback.
  if (!URL.canParse(named) || !isLoopbackHost(new URL(named).hostname)) return end(response, 403);
  if (url.split("?")[0] !== "/metrics") return end(response, 404);
  if (method !== "GET" && method !== "HEAD") return end(response, 405);
  const text = await metrics.metricsText();
  response.writeHead(200, { "content-type": metrics.contentType });
  response.end(method === "HEAD" ? undefined : text);
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status).end();
}
