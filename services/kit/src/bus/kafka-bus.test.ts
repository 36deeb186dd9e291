import { KafkaJSProtocolError } from "kafkajs";
import { expect, it } from "vitest";
import { systemClock } from "../clock.ts";
import { silentLogger } from "../logger.ts";
import { describeKafka } from "../testing/describe-servers.ts";
import { eventBusContract } from "./event-bus.contract.ts";
import { openKafkaBus } from "./kafka-bus.ts";
import { kafkaClient } from "./kafka-client.ts";
import { askKafka } from "./kafka-retry.ts";

describeKafka("EventBus", (server) => {
  const open = (topicPrefix = "p-") =>
    openKafkaBus({ brokers: server().brokers, clientId: "test", topicPrefix });

  eventBusContract(() => open());

  it("refuses a topic with other settings and names them", async () => {
    await using bus = await open("s-");
    await bus.ensureTopics([{ topic: "t", partitions: 2, settings: { "retention.ms": "1000" } }]);
    await expect(bus.ensureTopics([{ topic: "t", partitions: 3 }])).rejects.toMatchObject({
      reason: "TOPIC_SETTINGS_DIFFER",
      message: "s-t: retention.ms is 1000, but must be -1; s-t: partitions is 2, but must be 3",
    });
  });

  it("makes topics that keep everything", async () => {
    await using bus = await open("k-");
    await bus.ensureTopics([{ topic: "t" }]);
    await bus.ensureTopics([{ topic: "t" }]);
  });

  it("asks anew where its topics are led when a broker says it is not the leader", async () => {
    await using bus = await open("l-");
    await bus.ensureTopics([{ topic: "t", partitions: 2 }]);
    const kafka = kafkaClient({ brokers: server().brokers, clientId: "test" }, silentLogger);
    const stale = kafka.admin();
    stale.fetchTopicOffsets = () => {
      const error = new KafkaJSProtocolError("This server is not the leader");
      return Promise.reject(Object.assign(error, { code: 6, retriable: true }));
    };
    const lookup = {
      kafka,
      admin: stale,
      clock: systemClock,
      logger: silentLogger,
      signal: new AbortController().signal,
    };
    const offsets = await askKafka(lookup, (admin) => admin.fetchTopicOffsets("l-t"));
    expect(offsets.map(({ high }) => high)).toEqual(["0", "0"]);
  });
});

it("says that no broker answers", async () => {
  const nobody = openKafkaBus({ brokers: ["127.0.0.1:1"], clientId: "test" });
  await expect(nobody).rejects.toMatchObject({ reason: "BUS_UNAVAILABLE" });
});
