import { type Admin, Kafka, KafkaJSAggregateError, KafkaJSProtocolError, logLevel } from "kafkajs";
import { expect, it, vi } from "vitest";
import type { Clock } from "../clock.ts";
import { silentLogger } from "../logger.ts";
import { askKafka } from "./kafka-retry.ts";

const notTheLeader = () => {
  const error = new KafkaJSProtocolError("This server is not the leader for that topic-partition");
  return Object.assign(error, { type: "NOT_LEADER_FOR_PARTITION", code: 6, retriable: true });
};

/** A clock whose timers fire at once, and the waits that were requested of it. */
const hastyClock = () => {
  const waits: number[] = [];
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    setTimer(callback, delayMs) {
      waits.push(delayMs);
      const timer = setImmediate(callback);
      return { cancel: () => clearImmediate(timer) };
    },
  };
  return { clock, waits };
};

const lookupWith = (kafka: Kafka, clock: Clock) => ({
  kafka,
  clock,
  admin: {} as Admin,
  logger: silentLogger,
  signal: new AbortController().signal,
});

/** A client without brokers, whose admins connect and do nothing. */
const clientOfNobody = () => {
  const kafka = new Kafka({ brokers: ["127.0.0.1:1"], logLevel: logLevel.NOTHING });
  const connection = { connect: async () => {}, disconnect: async () => {} };
  vi.spyOn(kafka, "admin").mockImplementation(() => connection as Admin);
  return kafka;
};

it("gives up after six tries, waiting twice as long before each", async () => {
  const { clock, waits } = hastyClock();
  const ask = vi.fn(() => Promise.reject(notTheLeader()));
  const asked = askKafka(lookupWith(clientOfNobody(), clock), ask);
  await expect(asked).rejects.toMatchObject({ type: "NOT_LEADER_FOR_PARTITION" });
  expect(ask).toHaveBeenCalledTimes(6);
  expect(waits).toEqual([100, 200, 400, 800, 1_600]);
});

it("does not repeat a lookup that the next try would fail, too", async () => {
  const { clock } = hastyClock();
  const ask = vi.fn(() => Promise.reject(new Error("no rights")));
  await expect(askKafka(lookupWith(clientOfNobody(), clock), ask)).rejects.toThrow("no rights");
  expect(ask).toHaveBeenCalledTimes(1);
});

it("repeats what failed for several topics only when each may do next time", async () => {
  const { clock } = hastyClock();
  const lookup = lookupWith(clientOfNobody(), clock);
  const failing = (...errors: Error[]) =>
    vi
      .fn(() => Promise.resolve("made"))
      .mockRejectedValueOnce(new KafkaJSAggregateError("two topics", errors));
  const slow = failing(notTheLeader(), notTheLeader());
  const bad = failing(notTheLeader(), new Error("no rights"));

  expect(await askKafka(lookup, slow)).toBe("made");
  await expect(askKafka(lookup, bad)).rejects.toThrow("two topics");
});
