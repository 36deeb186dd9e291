/** Topics of the control stream; see `qmtl.control.v1.Topic`. */
export const topicNames = [
  "gate",
  "policy",
  "queue",
  "tag",
  "order",
  "halt",
  "rebalancing",
  "submission",
  "feed",
] as const;
export type TopicName = (typeof topicNames)[number];

/** Key of the tag queries: one for all worlds. */
export const tagTopicKey = "tags/queue";
/** Key of the halts in force: one for all worlds. */
export const haltTopicKey = "halt";

/** Topics with one key per world. */
type WorldTopicName = "gate" | "policy" | "queue" | "order" | "rebalancing";

export function worldTopicKey(worldId: string, topic: WorldTopicName): string {
  return `world/${worldId}/${topic}`;
}

export function submissionTopicKey(submissionId: string): string {
  return `submission/${submissionId}`;
}

export function feedTopicKey(source: string): string {
  return `feed/${source}`;
}

/** What a topic key is about. */
export interface TopicSubject {
  readonly topic: TopicName;
  /** Id of the world, submission or source; empty where the topic has one key. */
  readonly id: string;
}

const WORLD_KEY = /^world\/([^/]+)\/(gate|policy|queue|order|rebalancing)$/;

/** Reads a topic key; undefined for any other text. */
export function topicOfKey(key: string): TopicSubject | undefined {
  if (key === tagTopicKey) return { topic: "tag", id: "" };
  if (key === haltTopicKey) return { topic: "halt", id: "" };
  const [, worldId, topic] = WORLD_KEY.exec(key) ?? [];
  if (worldId !== undefined) return { topic: topic as WorldTopicName, id: worldId };
  for (const prefix of ["submission", "feed"] as const) {
    const id = key.startsWith(`${prefix}/`) ? key.slice(prefix.length + 1) : "";
    if (id !== "") return { topic: prefix, id };
  }
  return undefined;
}
