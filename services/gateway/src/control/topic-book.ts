import type { ControlEvent, Snapshot } from "@qmtl/contracts/qmtl/control/v1/control_event_pb";
import { TopicService } from "@qmtl/contracts/qmtl/control/v1/topic_service_pb";
import { QmtlError } from "@qmtl/sdk/rpc";
import type { CallPrincipal } from "@qmtl/service-kit";
import {
  isTopicChange,
  isWithoutState,
  readTopic,
  type StoredTopic,
  type TopicName,
  TopicState,
  topicOfKey,
} from "@qmtl/service-kit/control";
import type { Db } from "@qmtl/service-kit/db";
import type { Peer } from "../peers/peer.ts";

/** Largest number of topic keys known at once; the one used longest ago is forgotten. */
const topicsMax = 10_000;
/** Longest wait for a state, milliseconds. */
const loadMs = 5_000;

interface TopicBookPorts {
  readonly db: Db;
  readonly dag: Peer;
  readonly world: Peer;
  readonly gateway: CallPrincipal;
  /**
   * Topics whose state this gateway derives from other tables, by world or submission.
   * @default read as any other key
   */
  readonly readers?: Readonly<Partial<Record<TopicName, (id: string) => Promise<StoredTopic>>>>;
}

/** What a subscriber has applied of a topic key. */
export interface AppliedRevision {
  readonly revision: number;
  readonly storeEpoch: number;
}

/** The position of an event in the history of its key. */
export function placeOf({ storeEpoch, revision }: ControlEvent): AppliedRevision {
  return { storeEpoch: Number(storeEpoch), revision: Number(revision) };
}

interface KnownTopic {
  readonly state: TopicState;
  storeEpoch: number;
  revision: number;
}

/**
 * The state of each topic key other than gates, as this gateway applied it last: its writer's answer first, then its
 * events in order. After a gap the writer is asked again.
 */
export class TopicBook {
  readonly #ports: TopicBookPorts;
  readonly #known = new Map<string, KnownTopic>();
  readonly #loading = new Map<string, Promise<void>>();

  constructor(ports: TopicBookPorts) {
    this.#ports = ports;
  }

  /** Whether the state of a key is known up to what a subscriber has applied. */
  covers(topicKey: string, applied: AppliedRevision | undefined): boolean {
    const known = this.#known.get(topicKey);
    if (known === undefined) return false;
    if (applied === undefined || known.storeEpoch > applied.storeEpoch) return true;
    return known.storeEpoch === applied.storeEpoch && known.revision >= applied.revision;
  }

  /**
   * Asks the key's writer for its state; joins a read that is in progress. Events that came meanwhile must be applied
   * again.
   *
   * @throws {QmtlError} PEER_UNAVAILABLE
   */
  load(topicKey: string): Promise<void> {
    const under = this.#loading.get(topicKey);
    if (under !== undefined) return under;
    const loading = this.#load(topicKey).finally(() => this.#loading.delete(topicKey));
    this.#loading.set(topicKey, loading);
    return loading;
  }

  /** Applies an event; one that follows a gap, or has no state, makes the key unknown. */
  apply(event: ControlEvent): void {
    const { topicKey, payload } = event;
    const known = this.#known.get(topicKey);
    if (known === undefined) return;
    if (isWithoutState(event)) {
      if (!this.covers(topicKey, placeOf(event))) this.#known.delete(topicKey);
      return;
    }
    if (!isTopicChange(payload)) return;
    const storeEpoch = Number(event.storeEpoch);
    const revision = Number(event.revision);
    const isOld =
      storeEpoch < known.storeEpoch ||
      (storeEpoch === known.storeEpoch && revision <= known.revision);
    if (isOld) return;
    if (storeEpoch === known.storeEpoch && revision === known.revision + 1) {
      known.state.apply(payload);
      known.revision = revision;
    } else this.#known.delete(topicKey);
  }

  /** The state of a key that is known, as a snapshot for a ticket's strategies. */
  snapshot(
    topicKey: string,
    strategyIds: readonly string[],
  ): (AppliedRevision & { readonly snapshot: Snapshot }) | undefined {
    const known = this.#known.get(topicKey);
    if (known === undefined) return undefined;
    const { state, revision, storeEpoch } = known;
    return { revision, storeEpoch, snapshot: state.snapshot(strategyIds) };
  }

  async #load(topicKey: string): Promise<void> {
    const subject = topicOfKey(topicKey);
    if (subject === undefined) throw new QmtlError("INVALID_FIELD", `not a topic key: ${topicKey}`);
    const { storeEpoch, revision, changes } = await this.#ask(topicKey);
    const state = new TopicState(subject);
    for (const { payload } of changes) if (isTopicChange(payload)) state.apply(payload);
    this.#known.delete(topicKey);
    this.#known.set(topicKey, { state, storeEpoch, revision });
    if (this.#known.size <= topicsMax) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  async #ask(topicKey: string): Promise<StoredTopic> {
    const { db, gateway } = this.#ports;
    const peer = this.#writerOf(topicKey);
    if (peer === undefined) {
      const subject = topicOfKey(topicKey);
      const read = subject && this.#ports.readers?.[subject.topic];
      return read === undefined ? readTopic(db, "gateway", topicKey) : read(subject!.id);
    }
    const call = { principal: gateway, timeoutMs: loadMs };
    const answer = await peer.unary(TopicService.method.getTopicState, { topicKey }, call);
    const { storeEpoch, revision, changes } = answer;
    return { storeEpoch: Number(storeEpoch), revision: Number(revision), changes };
  }

  /** The service that writes a key; undefined for this gateway's own. */
  #writerOf(topicKey: string): Peer | undefined {
    const { dag, world } = this.#ports;
    switch (topicOfKey(topicKey)?.topic) {
      case "queue":
      case "tag":
      case "feed":
        return dag;
      case "policy":
      case "rebalancing":
        return world;
      default:
        return undefined;
    }
  }
}
