import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { openEmbeddedBus } from "../bus/embedded-bus.ts";
import { migrateOutbox } from "../outbox/outbox.ts";
import { OutboxRelay } from "../outbox/outbox-relay.ts";
import { startChildScript } from "../testing/child-script.ts";
import { waitUntil } from "../testing/wait-until.ts";
import { openPglite } from "./pglite-db.ts";

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "qmtl-crash-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

it("loses no acknowledged row over five kills", async () => {
  const dataDir = await temporaryFolder();
  let lastAcknowledged = 0;
  for (const rowsBeforeKill of [40, 233, 7, 391, 118]) {
    const child = startChildScript(new URL("./insert-rows.child.ts", import.meta.url), [dataDir]);
    await waitUntil(() => child.lines.length >= rowsBeforeKill, { timeoutMs: 60_000 });
    await child.kill();
    expect(Number(child.lines[0])).toBeGreaterThan(lastAcknowledged);
    lastAcknowledged = Number(child.lines.at(-1));
  }
  const host = await openPglite({ dataDir });
  onTestFinished(() => host.close());
  const rows = await host
    .db("k")
    .query<{ id: number; pad: string }>("select id, pad from k.t order by id");
  // One more row may have been stored without its acknowledgement being printed.
  expect([lastAcknowledged, lastAcknowledged + 1]).toContain(rows.length);
  expect(rows.map(({ id }) => id)).toEqual(rows.map((_, index) => index + 1));
  for (const { id, pad } of rows) {
    const isUpdated = id % 3 === 2 && id < rows.length;
    expect(pad).toBe("x".repeat(id % 500) + (isUpdated ? "y" : ""));
  }
}, 360_000);

it("refuses a folder that another process has open, by pid, and takes it over once that is dead", async () => {
  const dataDir = await temporaryFolder();
  const child = startChildScript(new URL("./insert-rows.child.ts", import.meta.url), [dataDir]);
  await waitUntil(() => child.lines.length > 0, { timeoutMs: 60_000 });
  await expect(openPglite({ dataDir })).rejects.toMatchObject({
    reason: "DATA_FOLDER_LOCKED",
    pid: child.pid,
  });
  await child.kill();
  await (await openPglite({ dataDir })).close();
}, 120_000);

it("publishes after a restart what a killed process had committed", async () => {
  const dataDir = await temporaryFolder();
  const child = startChildScript(new URL("../outbox/append-outbox.child.ts", import.meta.url), [
    dataDir,
  ]);
  await waitUntil(() => child.lines.includes("committed"), { timeoutMs: 60_000 });
  await child.kill();

  await using host = await openPglite({ dataDir });
  await using bus = await openEmbeddedBus({ db: host.db("bus") });
  await bus.ensureTopics([{ topic: "t" }]);
  const db = host.db("s");
  await migrateOutbox(db);
  await using relay = new OutboxRelay({ db, bus, ownerId: "second" });
  relay.start();
  const stop = new AbortController();
  const seen: string[] = [];
  const onEvent = async ({ payload }: { payload: Uint8Array }) => {
    seen.push(new TextDecoder().decode(payload));
  };
  await bus.subscribe({ topics: ["t"], fromBeginning: true, onEvent, signal: stop.signal });
  await waitUntil(() => seen.length > 0);
  stop.abort();
  expect(seen).toEqual(["committed"]);
}, 120_000);
