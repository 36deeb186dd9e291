import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { ChannelTransport, connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { systemClock } from "@qmtl/service-kit";
import { openPostgres } from "@qmtl/service-kit/db";
import { describePostgres, startChildScript, waitUntil } from "@qmtl/service-kit/testing";
import { expect, onTestFinished, test } from "vitest";

/** Longer than a process on a busy machine is held up. */
const leaderMs = 5_000;

async function startProcess(dsn: string, ownLeaderMs = leaderMs) {
  const script = new URL("./testing/serve-world.child.ts", import.meta.url);
  const child = startChildScript(script, [dsn, String(ownLeaderMs)]);
  const port = await waitUntil(() => child.lines[0], { timeoutMs: 90_000, what: "its port" });
  onTestFinished(() => child.kill());
  const url = `http://127.0.0.1:${port}`;
  return { url, pid: child.pid, kill: () => child.kill(), ...clientOf(url) };
}

/** A client of one process, or of several of which one leads. */
function clientOf(urls: string) {
  const connection = connectTo(urls, { timeoutMs: 20_000 });
  onTestFinished(() => connection.close());
  const worlds = connection.client(WorldService);
  return {
    worlds,
    /** "made", the reason it was refused for, or "lost". */
    create: (worldId: string) =>
      worlds
        .createWorld({
          world: { worldId, clock: WorldClock.WALL, accountId: worldId },
          requestId: worldId,
        })
        .then(
          () => "made",
          (error: unknown) => (error instanceof QmtlError ? error.reason : "lost"),
        ),
  };
}

type Process = Awaited<ReturnType<typeof startProcess>>;

/** Creates a world by the process that leads, and resolves to that; the reasons of the others go to `refusals`. */
async function made(
  processes: readonly Process[],
  worldId: string,
  refusals: string[],
): Promise<Process> {
  const ask = async (): Promise<Process | undefined> => {
    for (const one of processes) {
      const answer = await one.create(worldId);
      if (answer === "made") return one;
      refusals.push(answer);
    }
    return undefined;
  };
  return (await waitUntil(ask, { timeoutMs: 90_000, what: "one of them leads" }))!;
}

const named = (count: number): string[] => Array.from({ length: count }, (_, at) => `w${at}`);

describePostgres("two processes of WorldService", (server) => {
  test("the one that leads is killed: the other takes over, and every world is there once", async () => {
    const dsn = await server().createDatabase();
    const both = [await startProcess(dsn), await startProcess(dsn)];
    const refusals: string[] = [];
    for (const worldId of named(8)) await made([...both].reverse(), worldId, refusals);
    expect(new Set(refusals)).toEqual(new Set(["NOT_LEADER"]));

    const leader = await made(both, "w0", refusals);
    const last = leader.create("w8");
    await leader.kill();
    await last;
    const others = both.filter((one) => one !== leader);
    const [other] = others;
    await made(others, "w8", refusals);

    expect(await other!.create("w3")).toBe("made");
    const { worlds } = await other!.worlds.listWorlds({});
    expect(worlds.map((world) => world.worldId)).toEqual(named(9));
    const db = await openPostgres({ dsn, schema: "world" });
    onTestFinished(() => db.close());
    const firstEvents = await db.query(
      `SELECT key, count(*) AS events FROM world.outbox WHERE key LIKE '%/gate' AND revision = 1
       GROUP BY key ORDER BY key`,
    );
    expect(firstEvents).toEqual(named(9).map((id) => ({ key: `world/${id}/gate`, events: 1 })));
  }, 240_000);

  test("the one that waits answers health NOT_SERVING; a client of both addresses loses at most the lease and a second", async () => {
    const dsn = await server().createDatabase();
    const ownLeaderMs = 1_000;
    const first = await startProcess(dsn, ownLeaderMs);
    const second = await startProcess(dsn, ownLeaderMs);
    const both = clientOf(`${second.url},${first.url}`);
    expect(await both.create("w0")).toBe("made");
    const states = new Map<string, Process>();
    for (const one of [first, second]) {
      const channel = new ChannelTransport(one.url);
      onTestFinished(() => channel.close());
      states.set(await channel.health(20_000), one);
    }
    expect([...states.keys()].sort()).toEqual(["not serving", "serving"]);

    const sinceMs = systemClock.monotonicMs();
    await states.get("serving")!.kill();
    expect(await both.create("w1")).toBe("made");

    expect(systemClock.monotonicMs() - sinceMs).toBeLessThan(ownLeaderMs + 1_000);
    const { worlds } = await both.worlds.listWorlds({});
    expect(worlds.map((world) => world.worldId)).toEqual(named(2));
  }, 240_000);

  test("a leader that stood still past its time writes no more", async () => {
    const dsn = await server().createDatabase();
    const first = await startProcess(dsn);
    await made([first], "w0", []);
    const second = await startProcess(dsn);

    process.kill(first.pid, "SIGSTOP");
    await made([second], "w1", []);
    const late = first.create("stale");
    process.kill(first.pid, "SIGCONT");

    expect(await late).not.toBe("made");
    const { worlds } = await second.worlds.listWorlds({});
    expect(worlds.map((world) => world.worldId)).toEqual(named(2));
  }, 240_000);
});
