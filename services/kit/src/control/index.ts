export {
  appendControlEvent,
  appendGateEvent,
  type ControlChange,
  type ControlSchema,
  controlTopic,
} from "./control-events.ts";
export {
  type CountedChange,
  countedChangeWrites,
  countTopics,
  type TopicCount,
} from "./counted-changes.ts";
export * from "./topic-keys.ts";
export { readTopic, type StoredTopic, topicService } from "./topic-service.ts";
export {
  isTopicChange,
  itemOf,
  stateOrdersMax,
  stateQueuesMax,
  stateTagQueriesMax,
  type TopicChange,
  TopicState,
} from "./topic-state.ts";
export { migrateTopics, raiseStoreEpoch } from "./topic-tables.ts";
