export {
  type EncodedEvent,
  type EventMessage,
  encodedEventsOf,
  eventMessages,
  eventsOf,
} from "../bus/event-messages.ts";
export {
  appendControlEvent,
  appendCountedEvent,
  appendGateEvent,
  type ControlChange,
  type ControlSchema,
  type CountedChange,
  controlTopic,
  countedEvent,
  isWithoutState,
  type TopicCount,
} from "./control-events.ts";
export { countedChangeParts, countedChangeWrites, countTopics } from "./counted-changes.ts";
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
