import { create, toBinary } from "@bufbuild/protobuf";
import { ControlEventSchema } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import fc from "fast-check";
import { expect, test } from "vitest";
import { payloadBytesMax } from "../bus/event-bus.ts";
import { eventMessages, eventsOf } from "./event-messages.ts";

/** An event of about so many bytes. */
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
