import { fileURLToPath } from "node:url";
import type { RouterOrder } from "@qmtl/core/execution";
import { applyMigrations, type Db, type PgliteHost, readMigrations } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Writes } from "../../store/writes.ts";
import { type Halt, Halts, insertHalt } from "../store/halts.ts";
import type { LeaveCondition, OutgoingOrder } from "./booking.ts";
import { OrderPermission, PermissionLost } from "./order-permission.ts";

let host: PgliteHost;
let db: Db;
beforeAll(async () => {
  host = await openTestPglite();
  db = host.db("gateway");
  const folder = fileURLToPath(new URL("../../../migrations-orders", import.meta.url));
  await applyMigrations(db, "orders", await readMigrations(folder));
});
afterAll(() => host.close());

const permission = new OrderPermission({
  account: "main",
  halts: new Halts(),
  worlds: { gateOf: () => undefined, storedFenceOf: () => 0 },
  rows: { rowOf: () => -1 },
});

const worlds = fc.constantFrom("w1", "w2");
const strategies = fc.constantFrom("A", "B");
const fences = fc.constantFrom(1, 2);
const outgoing = fc
  .record({
    world: worlds,
    strategy: strategies,
    needs: fc.constantFrom<LeaveCondition>("gate", "no_halt", "nothing"),
    fence: fences,
  })
  .map(({ fence, needs, ...order }) => {
    const whole = { id: "o", instrument: "X", lots: 1, reduceOnly: false, ...order };
    return { order: whole as Partial<RouterOrder>, context: { fence }, needs } as OutgoingOrder;
  });
const gates = fc.uniqueArray(
  fc.record({ world: worlds, fence: fences, gate: fc.constantFrom("OPEN", "OPEN", "SHUT") }),
  { selector: ({ world }) => world },
);
const halts = fc.array(
  fc.constantFrom<Pick<Halt, "scope" | "target">>(
    { scope: "all", target: "" },
    { scope: "account", target: "main" },
    { scope: "account", target: "other" },
    { scope: "world", target: "w1" },
    { scope: "strategy", target: "B" },
    { scope: "strategy", target: "w2" },
  ),
  { maxLength: 1 },
);

async function given(gateRows: { world: string; fence: number; gate: string }[], halted: Halt[]) {
  await db.script("truncate gateway.gate_fence, gateway.halt");
  for (const { world, fence, gate } of gateRows) {
    await db.query(
      `insert into gateway.gate_fence (world_id, store_epoch, revision, fence, gate) values ($1, 1, 1, $2, $3)`,
      [world, fence, gate],
    );
  }
  for (const halt of halted) await insertHalt(db, halt);
}

test("what one statement asks is what the comparison under locks asks", async () => {
  let [held, lost] = [0, 0];
  await fc.assert(
    fc.asyncProperty(
      gates,
      halts,
      fc.array(outgoing, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (gateRows, halted, sends, isLocking) => {
        await given(
          gateRows,
          halted.map((halt, at) => ({
            ...{ ...halt, haltId: `h-${at}`, reason: "test" },
            ...{ principal: "ann", timeMs: 1 },
          })),
        );
        const compared = await db
          .transaction((tx) => permission.compare(tx, sends))
          .then(
            () => true,
            (failure: unknown) => {
              if (failure instanceof PermissionLost) return false;
              throw failure;
            },
          );
        const condition = permission.condition(sends, isLocking);
        const asked = condition === undefined || (await new Writes().storeIf(db, [condition]));
        expect(asked).toBe(compared);
        if (asked) held += 1;
        else lost += 1;
      },
    ),
    { seed: 11, numRuns: 150 },
  );
  expect(held).toBeGreaterThan(30);
  expect(lost).toBeGreaterThan(30);
});
