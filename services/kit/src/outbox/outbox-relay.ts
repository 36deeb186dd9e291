import type { EventBus } from "../bus/event-bus.ts";
import { joinMessages } from "../bus/event-messages.ts";
import { type Clock, type ClockTimer, sleep, systemClock } from "../clock.ts";
import { type Db, quotedSchema } from "../db/db.ts";
import { type Logger, silentLogger } from "../logger.ts";
import { type CounterMetric, createMetrics, type Metrics } from "../metrics.ts";
import type { OutboxEvent } from "./outbox.ts";

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

type OutboxRow = OutboxEvent & { id: number };

/** Why the relay looks before `pollMs` have passed. */
const woken = "something was committed";
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 10_000;
/** Largest number of sent events deleted at once. */
const PRUNE_MAX = 5_000;

/**
 * Publishes a schema's outbox, oldest first, and marks what was published. At least once: a batch is published again if
 * the process was killed between the two. In order per key. Of several processes one relays, by a lease in the
 * database; one that was held up past its lease may repeat old events late, which receivers drop by `revision`.
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
    // Once is enough until the relay looks.
    if (!this.#wake.signal.aborted) this.#wake.abort(woken);
  }

  /**
   * As `poke`, for events that come many per second and that nobody waits for in order to act: relays no sooner than
   * `gatherMs` after the batch before, so that they are sent together. The first after a pause is relayed at once.
   */
  pokeGathering(gatherMs: number): void {
    if (this.#gathering !== undefined) return;
    const { clock } = this.#options;
    const waitMs = this.#publishedAtMs + gatherMs - clock.monotonicMs();
    if (waitMs <= 0) this.poke();
    else this.#gathering = clock.setTimer(() => this.poke(), waitMs);
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
    const { bus, clock, db } = this.#options;
    const rows = await this.#claim();
    if (rows.length === 0) return 0;
    await bus.publishBatch(
      joinMessages(rows).map(({ id, topic, key, type, payload, revision }) => {
        const headers = { type, revision: String(revision), "outbox-id": `${db.schema}:${id}` };
        return { topic, key, payload, headers };
      }),
    );
    await db.query(
      `update ${this.#schema}.outbox set sent_at = now() where id = any($1::bigint[])`,
      [rows.map(({ id }) => id)],
    );
    this.#publishedAtMs = clock.monotonicMs();
    this.#published.inc({ schema: db.schema }, rows.length);
    return rows.length;
  }

  async #run(): Promise<void> {
    const { clock, pollMs, batchMax } = this.#options;
    let retryMs = RETRY_MS_MIN;
    while (!this.#stopping.signal.aborted) {
      this.#wake = new AbortController(); // before the look: a poke during it is kept
      try {
        const count = await this.relayBatch();
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

  /**
   * Takes the lease, or renews it once half of it is over, and reads the oldest unsent events, in one statement. With a
   * `leaseMs` of 0 it is not renewed: there is no other process.
   */
  #claim(): Promise<OutboxRow[]> {
    const { db, ownerId, leaseMs, batchMax } = this.#options;
    const relay = `${this.#schema}.outbox_relay`;
    return db.query<OutboxRow>(
      `with held as (
         select 1 from ${relay} where owner = $1
           and ($2 = 0 or until > now() + $2 / 2 * interval '1 millisecond')),
       lease as (
         insert into ${relay} as relay (owner, until)
         select $1, now() + $2 * interval '1 millisecond' where not exists (select from held)
         on conflict (only_row) do update set owner = excluded.owner, until = excluded.until
         where relay.owner = excluded.owner or relay.until <= now()
         returning 1)
       select o.id, o.topic, o.key, o.type, o.payload, o.revision
       from ${this.#schema}.outbox o
       where o.sent_at is null and (exists (select from held) or exists (select from lease))
       order by o.id limit $3`,
      [ownerId, leaseMs, batchMax],
    );
  }

  async #prune(): Promise<void> {
    const { clock, db, sentRetentionMs } = this.#options;
    if (clock.monotonicMs() - this.#prunedAtMs < 60_000) return;
    this.#prunedAtMs = clock.monotonicMs();
    await db.query(
      `delete from ${this.#schema}.outbox where id in (
         select id from ${this.#schema}.outbox
         where sent_at < now() - $1 * interval '1 millisecond' order by sent_at limit ${PRUNE_MAX})`,
      [sentRetentionMs],
    );
  }

  async #release(): Promise<void> {
    const { db, ownerId, logger } = this.#options;
    try {
      await db.query(`delete from ${this.#schema}.outbox_relay where owner = $1`, [ownerId]);
    } catch (error) {
      logger.warn("the outbox lease could not be given back; it will expire", { error });
    }
  }
}
