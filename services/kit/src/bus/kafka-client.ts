import { Kafka, type logCreator, logLevel } from "kafkajs";
import type { Logger } from "../logger.ts";
import { BusError } from "./event-bus.ts";

export interface KafkaAddress {
  /** `host:port` of at least one broker. */
  brokers: readonly string[];
  /** Shown in the broker's logs. */
  clientId: string;
}

const LEVELS = { [logLevel.ERROR]: "warn", [logLevel.WARN]: "debug" } as const;

/** A client whose library logs to `logger`, one level lower: what matters is thrown, too. */
export function kafkaClient(address: KafkaAddress, logger: Logger): Kafka {
  const create: logCreator = () => (entry) => {
    const level = entry.level === logLevel.ERROR ? LEVELS[logLevel.ERROR] : LEVELS[logLevel.WARN];
    logger[level](`kafka: ${entry.log.message}`, { namespace: entry.namespace });
  };
  return new Kafka({
    clientId: address.clientId,
    brokers: [...address.brokers],
    logLevel: logLevel.WARN,
    logCreator: create,
    connectionTimeout: 3_000,
    requestTimeout: 10_000,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 6 },
  });
}

/** Converts a failure of Kafka into an error of the bus. */
export function kafkaError(cause: unknown, doing: string): BusError {
  if (cause instanceof BusError) return cause;
  const types = typesOf(cause);
  if (types.includes("UNKNOWN_TOPIC_OR_PARTITION")) {
    return new BusError("UNKNOWN_TOPIC", `${doing}: a topic was not made with ensureTopics`, cause);
  }
  if (types.includes("MESSAGE_TOO_LARGE")) return new BusError("EVENT_TOO_LARGE", doing, cause);
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new BusError("BUS_UNAVAILABLE", `${doing}: ${detail}`, cause);
}

/** The protocol's error names along the chain of causes: the library wraps them when it gives up retrying. */
function typesOf(cause: unknown): unknown[] {
  const types: unknown[] = [];
  for (let error = cause; error instanceof Error && types.length < 10; error = error.cause) {
    types.push("type" in error ? error.type : undefined);
  }
  return types;
}
