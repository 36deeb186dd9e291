import { expect, it } from "vitest";
import { describeKafka } from "../testing/describe-servers.ts";
import { eventBusContract } from "./event-bus.contract.ts";
import { openKafkaBus } from "./kafka-bus.ts";

describeKafka("EventBus", (server) => {
  const open = (topicPrefix = "p-") =>
    openKafkaBus({ brokers: server().brokers, clientId: "test", topicPrefix });

  eventBusContract(() => open());

  it("refuses a topic with other settings and names them", async () => {
    await using bus = await open("s-");
    await bus.ensureTopics([{ topic: "t", partitions: 2, settings: { "retention.ms": "1000" } }]);
    await expect(bus.ensureTopics([{ topic: "t", partitions: 3 }])).rejects.toMatchObject({
      reason: "TOPIC_SETTINGS_DIFFER",
      message: "s-t: retention.ms is 1000, must be -1; s-t: partitions is 2, must be 3",
    });
  });

  it("makes topics that keep everything", async () => {
    await using bus = await open("k-");
    await bus.ensureTopics([{ topic: "t" }]);
    await bus.ensureTopics([{ topic: "t" }]);
  });
});

it("says that no broker answers", async () => {
  const nobody = openKafkaBus({ brokers: ["127.0.0.1:1"], clientId: "test" });
  await expect(nobody).rejects.toMatchObject({ reason: "BUS_UNAVAILABLE" });
});
