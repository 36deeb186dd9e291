import type { Queryable } from "@qmtl/service-kit/db";
import { expect, test } from "vitest";
import type { StatedEnd } from "../store/wanted-orders.ts";
import { BucketAcks } from "./bucket-acks.ts";

const end = (sessionId: string, of: Partial<StatedEnd>): StatedEnd => ({
  ...{ world: "w", sessionId, strategies: ["A"], wanted: 0, wantedBy: {}, evaluations: {} },
  ...of,
});

test("of a session with several strategies each one's wanted orders are its own, also after it was taken out", () => {
  const acks = new BucketAcks({} as Queryable);
  acks.plan(end("alone", { wanted: 3 }));
  acks.plan(end("worker", { strategies: ["A", "B"], wanted: 7, wantedBy: { A: 2, B: 5, C: 0 } }));
  expect(["A", "B", "C"].map((id) => acks.wantedOf("w", id).wanted)).toEqual([5, 5, 0]);

  acks.plan(end("worker", { strategies: ["A"], wanted: 8, wantedBy: { A: 3, B: 5, C: 0 } }));

  expect(["A", "B", "C"].map((id) => acks.wantedOf("w", id).wanted)).toEqual([6, 5, 0]);

  acks.plan(end("worker", { strategies: ["A"], wanted: 4, wantedBy: { A: 4 } }));

  expect(["A", "B", "C"].map((id) => acks.wantedOf("w", id).wanted)).toEqual([7, 5, 0]);
});

test("orders that a session with several strategies does not divide are counted as none of them", () => {
  const acks = new BucketAcks({} as Queryable);

  acks.plan(end("worker", { strategies: ["A", "B"], wanted: 7 }));

  expect(acks.wantedOf("w", "A").wanted).toBe(0);
});
