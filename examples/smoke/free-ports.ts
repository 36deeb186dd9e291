import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:net";

/**
 * Below the ports that systems give to outgoing connections (32768 and up on Linux): one of those could be taken again
 * before its server starts. Test files that run at the same time have different ranges.
 */
const range = 11_000 + (Number(process.env.VITEST_POOL_ID ?? 0) % 3) * 7_000;
let next = randomInt(7_000);

/** Loopback ports that nobody listens on, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>();
  for (let tries = 0; held.size < count && tries < 7_000; tries += 1) {
    const port = range + (next % 7_000);
    next += 1;
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (isFree) held.set(port, server);
  }
  await Promise.all(
    [...held.values()].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    ),
  );
  return [...held.keys()];
}
