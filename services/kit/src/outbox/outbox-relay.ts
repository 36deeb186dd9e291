import { outboxHeaders } from "../bus/embedded-log.ts";
import type { EventBus, OutboxMove, OutboxRange, WaitingEvent } from "../bus/event-bus.ts";
import { joinedTypes, joinMessages } from "../bus/event-messages.ts";
import { type Clock, type ClockTimer, sleep, systemClock } from "../clock.ts";
import { type Db, quotedSchema } from "../db/db.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { type CounterMetric, createMetrics, type Metrics } from "../metrics.ts";

export interface OutboxRelayOptions {
  db: Db;
  bus: EventBus;
  /** Names this process among those that relay the same outbox; unique. */
  ownerId: string;
  /** Events published at once, 1 … 1000. @default 500 */
  batchMax?: number;
  /** Milliseconds between two looks at the outbox when `poke` is not called. @default 1000 */
  pollMs?: number;
  /**
   * Milliseconds after which another process may relay if this one is silent. Shorter than any wait for an
   * acknowledgement: after a crash the events of a freeze wait here until then.
   * @default 2000; 0 on PGlite, whose folder has one process at a time
   */
  leaseMs?: number;
  /** Milliseconds that sent events are kept. @default 86400000 */
  sentRetentionMs?: number;
  logger?: Logger;
  metrics?: Metrics;
  clock?: Clock;
}

/** Why the relay looks before `pollMs` have passed. */
const woken = "something was committed";
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 10_000;
/** Largest number of sent events deleted at once. */
const PRUNE_MAX = 5_000;

/**
 * Publishes a schema's outbox, oldest first, and marks what was published: in one statement where the bus keeps its
 * events in the same database. Elsewhere at least once: a batch is published again if the process was killed between
 * the two. In order per key. An outbox in which nothing waits is read, and nothing is written.
 *
 * Of several processes one relays, by a lease in the database; one that was held up past its lease may repeat old
 * events late, which receivers drop by `revision`.
 */
export class OutboxRelay implements AsyncDisposable {
  readonly #options: Required<OutboxRelayOptions>;
  readonly #schema: string;
  readonly #stopping = new AbortController();
  readonly #published: CounterMetric;
  readonly #failures: CounterMetric;
  #wake = new AbortController();
  #running: Promise<void> | undefined;
  #prunedAtMs = Number.NEGATIVE_INFINITY;
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  /** Pokes once events have gathered. */
  #gathering: ClockTimer | undefined;
  /** When it does, by the monotonic clock. */
  #gatheredAtMs = Number.POSITIVE_INFINITY;

  constructor(options: OutboxRelayOptions) {
    this.#options = {
      batchMax: 500,
      pollMs: 1_000,
      leaseMs: options.db.kind === "pglite" ? 0 : 2_000,
      sentRetentionMs: 86_400_000,
      logger: silentLogger,
      metrics: createMetrics(),
      clock: systemClock,
      ...options,
    };
    this.#schema = quotedSchema(options.db.schema);
    const { metrics } = this.#options;
    this.#published = metrics.counter("outbox_published_total", "Outbox rows published", [
      "schema",
    ]);
    this.#failures = metrics.counter(
      "outbox_publish_failures_total",
      "Outbox batches that failed",
      ["schema"],
    );
  }

  /** Begins relaying. Called once. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Makes the relay look at once, since something was committed. Cheap; may be called at any time. */
  poke(): void {
    this.#gathering?.cancel();
    this.#gathering = undefined;
    this.#gatheredAtMs = Number.POSITIVE_INFINITY;
    // Once is enough until the relay looks.
    if (!this.#wake.signal.aborted) this.#wake.abort(woken);
  }

  /**
   * As `poke`, for events that come many per second and that nobody waits for in order to act: relays no sooner than
   * `gatherMs` after the batch before, so that they are sent together. The first after a pause is relayed at once; of
   * several times the earliest counts.
   */
  pokeGathering(gatherMs: number): void {
    const { clock } = this.#options;
    const atMs = this.#publishedAtMs + gatherMs;
    if (atMs >= this.#gatheredAtMs) return;
    this.#gathering?.cancel();
    const waitMs = atMs - clock.monotonicMs();
    if (waitMs <= 0) {
      this.poke();
      return;
    }
    this.#gatheredAtMs = atMs;
    this.#gathering = clock.setTimer(() => this.poke(), waitMs);
  }

  /**
   * Takes the lease from the process that relays, alive or not: for the process that leads from now on. What the other
   * has under way may be repeated, as after a crash.
   */
  async takeOver(): Promise<void> {
    const { db, ownerId, leaseMs } = this.#options;
    await db.query(
      `insert into ${this.#schema}.outbox_relay (owner, until) values ($1, now() + $2 * interval '1 millisecond')
       on conflict (only_row) do update set owner = excluded.owner, until = excluded.until`,
      [ownerId, leaseMs],
    );
    this.poke();
  }

  /** Ends after the batch under way and gives the lease back. May be called twice. */
  async close(): Promise<void> {
    this.#stopping.abort();
    this.poke();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Publishes one batch; resolves to its number of events, 0 when there are none or another process relays. */
  async relayBatch(): Promise<number> {
    const { clock, db } = this.#options;
    let batch = await this.#take();
    if (batch.events.length > 0 && !batch.isRelay) {
      if (!(await this.#claim())) return 0;
      batch = await this.#take();
      if (!batch.isRelay) return 0;
    }
    const { events, isMoved } = batch;
    if (events.length === 0) return 0;
    if (!isMoved) await this.#publish(events);
    this.#publishedAtMs = clock.monotonicMs();
    this.#published.inc({ schema: db.schema }, events.length);
    return events.length;
  }

  async #run(): Promise<void> {
    const { clock, pollMs, batchMax } = this.#options;
    let retryMs = RETRY_MS_MIN;
    while (!this.#stopping.signal.aborted) {
      const isPoked = this.#wake.signal.aborted;
      this.#wake = new AbortController(); // before the look: a poke during it is kept
      try {
        const count = isPoked || (await this.#isWaiting()) ? await this.relayBatch() : 0;
        retryMs = RETRY_MS_MIN;
        if (count === batchMax) continue;
        await this.#prune();
        await sleep(clock, pollMs, this.#wake.signal);
      } catch (error) {
        this.#failures.inc({ schema: this.#options.db.schema });
        this.#options.logger.warn("relaying the outbox failed; trying again", { error, retryMs });
        await sleep(clock, retryMs, this.#stopping.signal);
        retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
      }
    }
    await this.#release();
  }

  /** Whether there is something to relay. */
  async #isWaiting(): Promise<boolean> {
    const [row] = await this.#options.db.query<{ is_waiting: boolean }>(
      `select exists (select from ${this.#schema}.outbox where sent_at is null) as is_waiting`,
    );
    return row?.is_waiting ?? false;
  }

  /** Moves the oldest unsent events to the bus if it is in the same database; otherwise reads them. */
  #take(): Promise<OutboxMove> {
    const { bus, db, ownerId, leaseMs, batchMax } = this.#options;
    const lease = leaseMs === 0 ? undefined : { ownerId, leftMs: leaseMs / 2 };
    const range = { schema: db.schema, countMax: batchMax, lease, keptTypes: joinedTypes };
    return bus.moveOutbox?.(range) ?? this.#read(range);
  }

  async #read({ countMax, lease }: OutboxRange): Promise<OutboxMove> {
    const events = await this.#options.db.query<WaitingEvent & { is_relay: boolean }>(
      `select o.id, o.topic, o.key, o.type, o.payload, o.revision, $2::text is null or exists (
         select from ${this.#schema}.outbox_relay
         where owner = $2 and until > now() + $3 * interval '1 millisecond') as is_relay
       from ${this.#schema}.outbox o where o.sent_at is null order by o.id limit $1`,
      [countMax, lease?.ownerId ?? null, lease?.leftMs ?? 0],
    );
    return { events, isMoved: false, isRelay: events[0]?.is_relay ?? false };
  }

  /** Takes the lease, or renews it; false when another process has it. */
  async #claim(): Promise<boolean> {
    const { db, ownerId, leaseMs } = this.#options;
    const claimed = await db.query(
      `insert into ${this.#schema}.outbox_relay as relay (owner, until)
       values ($1, now() + $2 * interval '1 millisecond')
       on conflict (only_row) do update set owner = excluded.owner, until = excluded.until
       where relay.owner = excluded.owner or relay.until <= now()
       returning 1 as one`,
      [ownerId, leaseMs],
    );
    return claimed.length === 1;
  }

  async #publish(events: readonly WaitingEvent[]): Promise<void> {
    const { bus, db } = this.#options;
    await bus.publishBatch(
      joinMessages(events).map((event) => {
        const { topic, key, payload } = event;
        return { topic, key, payload, headers: outboxHeaders(db.schema, event) };
      }),
    );
    await db.query(
      `update ${this.#schema}.outbox set sent_at = now() where id = any($1::bigint[])`,
      [events.map(({ id }) => id)],
    );
  }

  async #prune(): Promise<void> {
    const { clock, db, sentRetentionMs } = this.#options;
    if (clock.monotonicMs() - this.#prunedAtMs < 60_000) return;
    this.#prunedAtMs = clock.monotonicMs();
    const old = `${this.#schema}.outbox where sent_at < now() - $1 * interval '1 millisecond'`;
    const found = await db.query(`select 1 as one from ${old} limit 1`, [sentRetentionMs]);
    if (found.length === 0) return;
    await db.query(
      `delete from ${this.#schema}.outbox where id in (
         select id from ${old} order by sent_at limit ${PRUNE_MAX})`,
      [sentRetentionMs],
    );
  }

  async #release(): Promise<void> {
    const { db, ownerId, leaseMs, logger } = this.#options;
    if (leaseMs === 0) return;
    try {
      await db.query(`delete from ${this.#schema}.outbox_relay where owner = $1`, [ownerId]);
    } catch (error) {
      logger.warn("the outbox lease could not be given back; it will expire", { error });
    }
  }
}
