import type { EventBus } from "./event-bus.ts";
import type { KafkaBusOptions } from "./kafka-bus.ts";

/**
 * Connects to Kafka. The client library is loaded only here, so that users of the other buses do not pay for it.
 *
 * @throws {BusError} BUS_UNAVAILABLE when no broker answers.
 */
export async function openKafkaBus(options: KafkaBusOptions): Promise<EventBus> {
  const kafka = await import("./kafka-bus.ts");
  return kafka.openKafkaBus(options);
}
