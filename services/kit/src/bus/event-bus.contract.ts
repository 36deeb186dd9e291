import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { waitUntil } from "../testing/wait-until.ts";
import type { BusEvent, EventBus, SubscribeOptions } from "./event-bus.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = ({ payload }: BusEvent) => new TextDecoder().decode(payload);

/** What every `EventBus` must do. `open` gives a new bus on the same log each time. */
export function eventBusContract(open: () => Promise<EventBus>): void {
  let bus: EventBus;
  let topicsMade = 0;

  const newTopic = async () => {
    topicsMade += 1;
    const topic = `t${topicsMade}`;
    await bus.ensureTopics([{ topic, partitions: 3 }]);
    return topic;
  };
  const collect = async (topic: string, options: Partial<SubscribeOptions> = {}) => {
    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const seen: BusEvent[] = [];
    const onEvent = async (event: BusEvent) => {
      await options.onEvent?.(event);
      seen.push(event);
    };
    const base = { topics: [topic], fromBeginning: false, signal: stop.signal };
    const { done } = await bus.subscribe({ ...base, ...options, onEvent });
    const end = () => {
      stop.abort();
      return done;
    };
    return { seen, end };
  };

  beforeAll(async () => {
    bus = await open();
  });
  afterAll(async () => {
    await bus.close();
    await bus.close();
  });

  it("delivers an event as it was published", async () => {
    const topic = await newTopic();
    const { seen } = await collect(topic);
    const payload = new Uint8Array([0, 255, 7]);
    await bus.publish(topic, "ключ", payload, { type: "T", revision: "3" });
    await waitUntil(() => seen.length === 1);
    expect(seen[0]).toEqual({
      topic,
      key: "ключ",
      payload,
      headers: { type: "T", revision: "3" },
      partition: expect.any(Number),
      position: expect.any(Number),
    });
  });

  it("keeps the order of each key, over batches and single events", async () => {
    const topic = await newTopic();
    const { seen } = await collect(topic);
    const keys = ["a", "b", "c", "d", "e"];
    for (let round = 0; round < 20; round += 1) {
      const events = keys.map((key) => ({ topic, key, payload: bytes(String(2 * round)) }));
      await bus.publishBatch(events);
      for (const key of keys) await bus.publish(topic, key, bytes(String(2 * round + 1)));
    }
    await waitUntil(() => seen.length === 200);
    for (const key of keys) {
      const own = seen.filter((event) => event.key === key);
      expect(own.map(text)).toEqual(Array.from({ length: 40 }, (_, index) => String(index)));
      const positions = own.map(({ position }) => position);
      expect(positions).toEqual(positions.toSorted((a, b) => a - b));
      expect(new Set(own.map(({ partition }) => partition)).size).toBe(1);
    }
  });

  it("starts after what was there, or at the beginning", async () => {
    const topic = await newTopic();
    await bus.publish(topic, "a", bytes("old"));
    const late = await collect(topic);
    const whole = await collect(topic, { fromBeginning: true });
    await bus.publish(topic, "a", bytes("new"));
    await waitUntil(() => late.seen.length === 1 && whole.seen.length === 2);
    expect([late.seen.map(text), whole.seen.map(text)]).toEqual([["new"], ["old", "new"]]);
    expect(whole.seen[1]).toEqual(late.seen[0]);
  });

  it("delivers only the topics asked for", async () => {
    const [one, two] = [await newTopic(), await newTopic()];
    const { seen } = await collect(one);
    await bus.publish(two, "a", bytes("no"));
    await bus.publish(one, "a", bytes("yes"));
    await waitUntil(() => seen.length > 0);
    expect(seen.map(text)).toEqual(["yes"]);
  });

  it("goes on where the group stopped", async () => {
    const topic = await newTopic();
    const groupId = `g-${topic}`;
    const first = await collect(topic, { groupId });
    await bus.publish(topic, "a", bytes("1"));
    await waitUntil(() => first.seen.length === 1);
    await first.end();
    await bus.publish(topic, "a", bytes("2"));
    const second = await collect(topic, { groupId, fromBeginning: true });
    await bus.publish(topic, "a", bytes("3"));
    await waitUntil(() => second.seen.length === 2);
    expect(second.seen.map(text)).toEqual(["2", "3"]);
  });

  it("gives each event to one subscriber of a group", async () => {
    const topic = await newTopic();
    const groupId = `g-${topic}`;
    const one = await collect(topic, { groupId });
    const two = await collect(topic, { groupId });
    const keys = Array.from({ length: 30 }, (_, index) => `k${index}`);
    await bus.publishBatch(keys.map((key) => ({ topic, key, payload: bytes(key) })));
    await waitUntil(() => new Set([...one.seen, ...two.seen].map(({ key }) => key)).size === 30);
    await one.end();
    await bus.publish(topic, "k0", bytes("after"));
    await waitUntil(() => two.seen.some((event) => text(event) === "after"));
  });

  it("delivers again what was not taken, and what is behind it after that", async () => {
    const topic = await newTopic();
    let refusals = 2;
    const { seen } = await collect(topic, {
      onEvent: async () => {
        await setImmediate();
        if (refusals > 0) {
          refusals -= 1;
          throw new Error("not now");
        }
      },
    });
    await bus.publishBatch(
      ["1", "2"].map((payload) => ({ topic, key: "a", payload: bytes(payload) })),
    );
    await waitUntil(() => seen.length === 2);
    expect(seen.map(text)).toEqual(["1", "2"]);
  });

  it("refuses a topic that was not made, an event too large, and a bad name", async () => {
    await expect(bus.publish("nowhere", "a", bytes("x"))).rejects.toMatchObject({
      reason: "UNKNOWN_TOPIC",
    });
    const large = bus.publish(await newTopic(), "a", new Uint8Array(600_000));
    await expect(large).rejects.toMatchObject({ reason: "EVENT_TOO_LARGE" });
    await expect(bus.ensureTopics([{ topic: "No Such" }])).rejects.toThrow(RangeError);
  });

  it("carries the largest event it allows", async () => {
    const topic = await newTopic();
    const { seen } = await collect(topic);
    await bus.publish(topic, "a", new Uint8Array(512 * 1024).fill(9));
    await waitUntil(() => seen.length === 1);
    expect(seen[0]?.payload.length).toBe(512 * 1024);
  });

  it("makes a topic only once", async () => {
    const topic = await newTopic();
    await bus.publish(topic, "a", bytes("kept"));
    await bus.ensureTopics([{ topic, partitions: 3 }]);
    const { seen } = await collect(topic, { fromBeginning: true });
    await waitUntil(() => seen.length === 1);
  });

  it("ends subscriptions when it is closed, and takes no more", async () => {
    const other = await open();
    const topic = await newTopic();
    await other.ensureTopics([{ topic, partitions: 3 }]);
    const signal = new AbortController().signal;
    const onEvent = async () => {};
    const { done } = await other.subscribe({
      topics: [topic],
      fromBeginning: true,
      onEvent,
      signal,
    });
    await other.close();
    await done;
    await expect(other.publish(topic, "a", bytes("x"))).rejects.toMatchObject({
      reason: "BUS_UNAVAILABLE",
    });
  });
}
