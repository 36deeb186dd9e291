import fc from "fast-check";
import { expect, it } from "vitest";
import type { OutgoingEvent } from "./event-bus.ts";
import { RecentEvents } from "./recent-events.ts";

const event = (topic: string, bytes = 1): OutgoingEvent => ({
  topic,
  key: "k",
  payload: new Uint8Array(bytes),
  headers: { type: "T" },
});

const everything = new Map([
  ["t", 0],
  ["u", 0],
]);

it("gives what was appended after a reader's place, of the topics it reads", () => {
  const recent = new RecentEvents();
  recent.add([event("t"), event("u"), event("t")], [1, 2, 3]);
  expect(recent.after(0, new Map([["t", 0]]))?.map(({ position }) => position)).toEqual([1, 3]);
  expect(recent.after(1, new Map([["u", 0]]))?.map(({ position }) => position)).toEqual([2]);
  expect(recent.after(0, new Map([["t", 1]]))?.map(({ position }) => position)).toEqual([3]);
});

it("leaves a reader to the database when it has read nothing, all, or not up to what is kept", () => {
  const recent = new RecentEvents();
  expect(recent.after(0, everything)).toBeUndefined();
  recent.add([event("t")], [7]);
  expect(recent.after(undefined, everything)).toBeUndefined();
  expect(recent.after(7, everything)).toBeUndefined();
  expect(recent.after(5, everything)).toBeUndefined();
  expect(recent.after(6, everything)).toHaveLength(1);
});

it("keeps 256 events and a mebibyte, or one event that is larger", () => {
  const recent = new RecentEvents();
  for (let at = 1; at <= 300; at += 1) recent.add([event("t")], [at]);
  expect(recent.after(43, everything)).toBeUndefined();
  expect(recent.after(44, everything)).toHaveLength(256);
  recent.add([event("t", 600_000), event("t", 600_000)], [301, 302]);
  expect(recent.after(300, everything)).toBeUndefined();
  expect(recent.after(301, everything)).toHaveLength(1);
});

it("does not hand out bytes that their sender changes afterwards", () => {
  const recent = new RecentEvents();
  const sent = event("t");
  recent.add([sent], [1]);
  sent.payload[0] = 9;
  expect(recent.after(0, everything)?.[0]?.payload).toEqual(new Uint8Array(1));
});

it("never skips an event, whichever process appended it and in whatever order the answers came", () => {
  const appends = fc.array(
    fc.record({ count: fc.integer({ min: 1, max: 3 }), isOwn: fc.boolean(), isLate: fc.boolean() }),
    { minLength: 1, maxLength: 30 },
  );
  fc.assert(
    fc.property(appends, fc.array(fc.nat(60)), (made, places) => {
      const recent = new RecentEvents();
      let position = 0;
      let late: number[] | undefined;
      for (const { count, isOwn, isLate } of made) {
        const positions = Array.from({ length: count }, () => (position += 1));
        if (!isOwn) continue;
        if (isLate && late === undefined) {
          late = positions;
          continue;
        }
        for (const each of [positions, late ?? []])
          recent.add(
            each.map(() => event("t")),
            each,
          );
        late = undefined;
      }
      for (const readTo of places) {
        const found = recent.after(readTo, everything);
        const wanted = Array.from(
          { length: Math.max(0, recent.newest - readTo) },
          (_, at) => readTo + 1 + at,
        );
        if (found !== undefined) expect(found.map((each) => each.position)).toEqual(wanted);
      }
    }),
  );
});
