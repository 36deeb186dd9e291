import { randomInt } from "node:crypto";
import { createServer, type Server } from "node:net";

/**
 * Below the ports that systems give to outgoing connections (32768 and up on Linux): one of those could be taken before
 * its server starts, or while the server is restarted.
 */
const PORT_FIRST = 11_000;
const PORTS_A_WORKER = 7_000;
const WORKERS = 3;

/** Test files that run at the same time take their ports from different ranges. */
const range = PORT_FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % WORKERS) * PORTS_A_WORKER;
let next = randomInt(PORTS_A_WORKER);

/** Loopback ports that nobody listens on, all different; this process does not give them out again. */
export async function freePorts(count: number): Promise<number[]> {
  const held: { server: Server; port: number }[] = [];
  for (let tries = 0; held.length < count && tries < PORTS_A_WORKER; tries += 1) {
    const port = range + (next % PORTS_A_WORKER);
    next += 1;
    const server = await listen(port);
    if (server !== undefined) held.push({ server, port });
  }
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  if (held.length < count) throw new Error(`no ${count} free ports from ${range} on`);
  return held.map(({ port }) => port);
}

/** undefined when the port is taken. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
