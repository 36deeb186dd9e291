import { create, toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import fc from "fast-check";
import { expect, test } from "vitest";
import { payloadBytesMax } from "./event-bus.ts";
import { eventMessages, eventsOf, joinMessages } from "./event-messages.ts";

/** An event of about `size` bytes. */
function encoded(revision: number, size = 0) {
  const event = { revision: BigInt(revision), topicKey: "halt", subject: "x".repeat(size) };
  const bytes = toBinary(ControlEventSchema, create(ControlEventSchema, event));
  return { type: "halts_updated", revision, bytes };
}

const revisionsOf = (messages: ReturnType<typeof eventMessages>) =>
  messages.map(({ type, payload }) =>
    eventsOf(type, payload).map(({ revision }) => Number(revision)),
  );

test("events of a key come out of their messages as they went in, whatever their number and size", () => {
  const sizes = fc.array(fc.oneof(fc.nat(300), fc.nat(200_000)), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(sizes, (all) => {
      const messages = eventMessages(all.map((size, at) => encoded(at + 1, size)));
      const revisions = revisionsOf(messages);

      expect(revisions.flat()).toEqual(all.map((_, at) => at + 1));
      expect(messages.map(({ revision }) => revision)).toEqual(
        revisions.map((each) => each.at(-1)),
      );
      for (const { payload } of messages) expect(payload.length).toBeLessThan(payloadBytesMax);
    }),
    { numRuns: 50, seed: 7 },
  );
});

test("an event that is alone is sent as it is, under its own type", () => {
  const one = encoded(3);
  expect(eventMessages([one])).toEqual([{ type: one.type, revision: 3, payload: one.bytes }]);
});

test("a message that is cut off is no message", () => {
  const [message] = eventMessages([encoded(1), encoded(2)]);
  expect(() => eventsOf(message!.type, message!.payload.slice(0, -1))).toThrow();
});

test("messages of a key that wait together go as one, in order, and others keep their places", () => {
  const rows = fc.array(
    fc.record({
      key: fc.constantFrom("a", "b", "halt"),
      events: fc.integer({ min: 1, max: 4 }),
      size: fc.oneof(fc.nat(300), fc.nat(100_000)),
    }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(rows, (all) => {
      const last = new Map<string, number>();
      const messages = all.flatMap(({ key, events, size }) => {
        const from = last.get(key) ?? 0;
        last.set(key, from + events);
        const made = Array.from({ length: events }, (_, at) => encoded(from + at + 1, size));
        const typed =
          key === "halt" ? made : made.map((one) => ({ ...one, type: "order_updated" }));
        return eventMessages(typed).map((message) => ({ topic: "control", key, ...message }));
      });

      const sent = joinMessages(messages);

      for (const [key, revision] of last) {
        const mine = sent.filter((message) => message.key === key);
        const wanted = Array.from({ length: revision }, (_, at) => at + 1);
        expect(revisionsOf(mine).flat()).toEqual(wanted);
        expect(mine.map((one) => one.revision)).toEqual(
          revisionsOf(mine).map((each) => each.at(-1)),
        );
      }
      const keys = messages.map(({ key }) => key);
      expect(sent[0]?.key).toBe(keys[0]);
      for (const { payload } of sent) expect(payload.length).toBeLessThan(payloadBytesMax);
    }),
    { numRuns: 100, seed: 11 },
  );
});

test("changes of orders that were stored one by one are one message, and those of halts stay apart", () => {
  const row = (key: string, type: string, revision: number) => ({
    ...{ topic: "control", key, type, revision },
    payload: encoded(revision).bytes,
  });
  const orders = (revision: number) => row("world/w/order", "order_updated", revision);
  const halts = (revision: number) => row("halt", "halts_updated", revision);

  const sent = joinMessages([orders(1), halts(1), orders(2), halts(2), orders(3)]);

  expect(sent.map(({ key }) => key)).toEqual(["world/w/order", "halt", "halt"]);
  expect(revisionsOf(sent)).toEqual([[1, 2, 3], [1], [2]]);
});
