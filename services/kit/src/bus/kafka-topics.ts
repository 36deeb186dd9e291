import kafkajs, { type Admin } from "kafkajs";
import { BusError, checkTopicName, type TopicSpec } from "./event-bus.ts";

/**
 * Settings of a topic unless its spec says otherwise: nothing is compacted, nothing is deleted by age or size, and no
 * replica that lags may become leader. Deleting is left to the owner of the data.
 */
const topicSettings: Readonly<Record<string, string>> = {
  "cleanup.policy": "delete",
  "retention.ms": "-1",
  "retention.bytes": "-1",
  "unclean.leader.election.enable": "false",
};

/** Number of partitions of a topic whose spec does not state one. */
const PARTITIONS = 8;

/** Creates missing topics and checks the settings of all. @throws {BusError} TOPIC_SETTINGS_DIFFER */
export async function ensureKafkaTopics(
  admin: Admin,
  prefix: string,
  specs: readonly TopicSpec[],
): Promise<void> {
  for (const { topic } of specs) checkTopicName(prefix + topic);
  await admin.createTopics({
    waitForLeaders: true,
    topics: specs.map((spec) => ({
      topic: prefix + spec.topic,
      numPartitions: spec.partitions ?? PARTITIONS,
      replicationFactor: spec.replicationFactor ?? 1,
      configEntries: Object.entries(settingsOf(spec)).map(([name, value]) => ({ name, value })),
    })),
  });
  const differences = await differencesOf(admin, prefix, specs);
  if (differences.length > 0) throw new BusError("TOPIC_SETTINGS_DIFFER", differences.join("; "));
}

/** Production runs three replicas; two of them must have a record before it is acknowledged. */
function settingsOf(spec: TopicSpec): Record<string, string> {
  const inSync = (spec.replicationFactor ?? 1) >= 3 ? "2" : "1";
  return { ...topicSettings, "min.insync.replicas": inSync, ...spec.settings };
}

async function differencesOf(
  admin: Admin,
  prefix: string,
  specs: readonly TopicSpec[],
): Promise<string[]> {
  const names = specs.map((spec) => prefix + spec.topic);
  const [{ topics }, { resources }] = await Promise.all([
    admin.fetchTopicMetadata({ topics: names }),
    admin.describeConfigs({
      includeSynonyms: false,
      resources: names.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
    }),
  ]);
  return specs.flatMap((spec) => {
    const name = prefix + spec.topic;
    const partitions = topics.find((topic) => topic.name === name)?.partitions ?? [];
    const entries =
      resources.find(({ resourceName }) => resourceName === name)?.configEntries ?? [];
    const is = new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
    is.set("partitions", String(partitions.length));
    is.set("replicas", String(partitions[0]?.replicas.length ?? 0));
    const wanted = {
      ...settingsOf(spec),
      partitions: String(spec.partitions ?? PARTITIONS),
      replicas: String(spec.replicationFactor ?? 1),
    };
    return Object.entries(wanted).flatMap(([setting, value]) =>
      is.get(setting) === value
        ? []
        : [`${name}: ${setting} is ${is.get(setting)}, but must be ${value}`],
    );
  });
}
