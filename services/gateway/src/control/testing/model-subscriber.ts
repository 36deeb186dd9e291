import { fromBinary } from "@bufbuild/protobuf";
import { SubscribeResponseSchema } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import type { EncodedMessage } from "@qmtl/service-kit";
import { HeldTopics } from "@qmtl/service-kit/testing";
import type { ControlHub } from "../control-hub.ts";

/** A subscriber of a hub, which checks that it receives what the protocol promises. */
export class ModelSubscriber {
  readonly held = new HeldTopics();
  readonly #keys: readonly string[];
  #stop = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  constructor(keys: readonly string[]) {
    this.#keys = keys;
  }

  /** Opens a stream that continues after what was applied. */
  connect(hub: ControlHub): void {
    this.#stop = new AbortController();
    const applied = new Map(
      this.held
        .lastApplied()
        .map(({ topicKey, revision, storeEpoch }) => [
          topicKey,
          { revision: Number(revision), storeEpoch: Number(storeEpoch) },
        ]),
    );
    const stream = hub.subscribe({
      topicKeys: this.#keys,
      applied,
      strategyIds: [],
      version: 1,
      expireMs: Number.POSITIVE_INFINITY,
      signal: this.#stop.signal,
    });
    this.#reading = this.#read(stream);
  }

  /** Cuts the stream. Rejects when something came that was not promised. */
  async cut(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(stream: AsyncGenerator<EncodedMessage>): Promise<void> {
    for await (const { bytes } of stream) {
      const { event } = fromBinary(SubscribeResponseSchema, bytes);
      if (event !== undefined) this.held.take(event);
      if (this.#stop.signal.aborted) return;
    }
  }
}
