import { QmtlError } from "@qmtl/sdk/rpc";

/** Topics a ticket may open. */
const TOPICS = ["gate", "queue", "policy", "rebalancing", "order", "submission"] as const;
export type Topic = (typeof TOPICS)[number];

const WORLD_KEY = /^world\/([^/]+)\/(gate|queue|policy|rebalancing|order)$/;

/** The topics as asked for; none means gate. @throws {QmtlError} INVALID_FIELD for an unknown one. */
export function parseTopics(topics: readonly string[]): Topic[] {
  const asked = topics.length === 0 ? ["gate"] : [...new Set(topics)];
  const unknown = asked.filter((topic) => !isTopic(topic));
  if (unknown.length > 0) {
    const description = `unknown: ${unknown.join(", ")}; there are ${TOPICS.join(", ")}`;
    throw new QmtlError("INVALID_FIELD", description, {
      fields: [{ field: "topics", description }],
    });
  }
  return asked.filter(isTopic);
}

/** The topic keys a ticket opens: those of the world, and what belongs to none. */
export function topicKeysOf(
  worldId: string,
  topics: readonly Topic[],
  submissionIds: readonly string[],
): string[] {
  return topics.flatMap((topic) => {
    if (topic === "submission") return submissionIds.map((id) => `submission/${id}`);
    const own = `world/${worldId}/${topic}`;
    if (topic === "queue") return [own, "tags/queue"];
    return topic === "order" ? [own, "halt"] : [own];
  });
}

/** World and topic of a key such as "world/w1/gate"; undefined for others. */
export function worldKey(key: string): { worldId: string; topic: Topic } | undefined {
  const match = WORLD_KEY.exec(key);
  const topic = match?.[2];
  if (match === null || topic === undefined || !isTopic(topic)) return undefined;
  return { worldId: match[1]!, topic };
}

function isTopic(text: string): text is Topic {
  return TOPICS.some((topic) => topic === text);
}
