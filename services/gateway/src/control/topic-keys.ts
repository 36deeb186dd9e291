import { Topic } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import {
  feedTopicKey,
  haltTopicKey,
  submissionTopicKey,
  type TopicName,
  tagTopicKey,
  worldTopicKey,
} from "@qmtl/service-kit/control";

const NAMES: ReadonlyMap<Topic, TopicName> = new Map([
  [Topic.GATE, "gate"],
  [Topic.POLICY, "policy"],
  [Topic.QUEUE, "queue"],
  [Topic.TAG, "tag"],
  [Topic.ORDER, "order"],
  [Topic.HALT, "halt"],
  [Topic.REBALANCING, "rebalancing"],
  [Topic.SUBMISSION, "submission"],
  [Topic.FEED, "feed"],
]);

/** The topics as asked for; none means gate and halt. The server has refused what is not of the set. */
export function topicsFromProto(topics: readonly Topic[]): TopicName[] {
  if (topics.length === 0) return ["gate", "halt"];
  return topics.flatMap((topic) => NAMES.get(topic) ?? []);
}

/** What the topics of a ticket are read from. */
export interface TopicScope {
  /** Empty: no world, so none of its keys. */
  readonly worldId: string;
  readonly topics: readonly TopicName[];
  readonly submissionIds: readonly string[];
  readonly sources: readonly string[];
}

/** The topic keys a ticket opens. */
export function topicKeysOf(scope: TopicScope): string[] {
  const { worldId, submissionIds, sources } = scope;
  return scope.topics.flatMap((topic) => {
    switch (topic) {
      case "tag":
        return [tagTopicKey];
      case "halt":
        return [haltTopicKey];
      case "submission":
        return submissionIds.map(submissionTopicKey);
      case "feed":
        return sources.map(feedTopicKey);
      default:
        return worldId === "" ? [] : [worldTopicKey(worldId, topic)];
    }
  });
}
