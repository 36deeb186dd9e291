import type { EventBus } from "./event-bus.ts";
import type { KafkaBusOptions } from "./kafka-bus.ts";

/**
 * Connects to Kafka. Its client is loaded here: who uses the embedded bus should not pay for it.
 *
 * @throws {BusError} BUS_UNAVAILABLE when no broker answers.
 */
export async function openKafkaBus(options: KafkaBusOptions): Promise<EventBus> {
  const kafka = await import("./kafka-bus.ts");
  return kafka.openKafkaBus(options);
}
