import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Client } from "@connectrpc/connect";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { JournalKind } from "@qmtl/contracts/qmtl/order/v1/account_pb";
import { Side } from "@qmtl/contracts/qmtl/type/v1/execution_pb";
import { ActivationService } from "@qmtl/contracts/qmtl/world/v1/activation_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { limitsOf } from "@qmtl/core/execution";
import type { QmtlConfig } from "../../config/index.ts";
import { pause, type SdkClock } from "../../control/index.ts";
import type { Connection } from "../../rpc/index.ts";
import type { SessionRecorder } from "../online/session/online-run.ts";
import {
  recordedValues,
  SessionRecordError,
  type SessionRecordLine,
  sessionRecordLine,
} from "./session-record.ts";

/** How a session is recorded. */
interface SessionRecordingOptions {
  /** File to write: an existing one is replaced, and its folder is created. */
  readonly file: string;
  readonly config: QmtlConfig;
  readonly worldId: string;
  readonly strategyName: string;
  /** Empty until the strategy was submitted. */
  readonly strategyId: () => string;
  readonly connection: Pick<Connection, "client">;
  readonly clock: SdkClock;
}

type HeaderLine = Extract<SessionRecordLine, { type: "session" }>;

const callMsMax = 2_000;
const journalPage = 1_000;
/** Number of attempts of a call at the end of the session, after which there is no other chance. */
const attemptsMax = 5;
const againMs = 200;

/**
 * Writes the record of one session: rows as they are consumed, the activation's weights when they change, and at the
 * end the account's journal. Each line is handed to the operating system at once, so that a crash of the process loses
 * only the journal. The header is written as soon as the gateway has named the world's account, at the latest at the
 * end.
 *
 * Weights are requested in the background, once per bucket: a change while a bucket is under way may be dated to the
 * next.
 */
export class FileSessionRecorder implements SessionRecorder {
  readonly #options: SessionRecordingOptions;
  readonly #worlds: Client<typeof WorldService>;
  readonly #activations: Client<typeof ActivationService>;
  readonly #accounts: Client<typeof AccountService>;
  readonly #rows = new Map<string, number>();
  readonly #stop = new AbortController();
  #descriptor: number;
  #account: string | undefined;
  #isHeaded = false;
  #weights = { long: 1, short: 1 };
  #bucketEndMs = Number.NaN;
  #asking: Promise<void> | undefined;
  #mustAsk = false;
  #failure: unknown;
  #finished: Promise<void> | undefined;

  private constructor(options: SessionRecordingOptions) {
    const { connection, file } = options;
    this.#options = options;
    this.#worlds = connection.client(WorldService);
    this.#activations = connection.client(ActivationService);
    this.#accounts = connection.client(AccountService);
    mkdirSync(dirname(file), { recursive: true });
    this.#descriptor = openSync(file, "w");
  }

  /**
   * Opens the file and requests the world's account. If the gateway cannot be reached, the request is repeated later.
   *
   * @throws {SessionRecordError} for a world without an account, or with one that the configuration does not have.
   */
  static async open(options: SessionRecordingOptions): Promise<FileSessionRecorder> {
    const recorder = new FileSessionRecorder(options);
    try {
      await recorder.#askAccount();
    } catch (failure) {
      if (failure instanceof SessionRecordError) {
        closeSync(recorder.#descriptor);
        throw failure;
      }
    }
    return recorder;
  }

  bucket({ nodeId, row, bucketEndMs, values }: Parameters<SessionRecorder["bucket"]>[0]): void {
    if (row <= (this.#rows.get(nodeId) ?? Number.NEGATIVE_INFINITY)) return;
    this.#rows.set(nodeId, row);
    this.#bucketEndMs = bucketEndMs;
    this.#head();
    this.#write({
      type: "row",
      node_id: nodeId,
      row,
      end_ms: bucketEndMs,
      values: recordedValues(values),
    });
    this.refresh();
  }

  /** Requests the weights, because they may have changed; new ones count from the last bucket on. */
  refresh(): void {
    if (this.#finished !== undefined) return;
    this.#mustAsk = true;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
  }

  /**
   * Writes what is left and closes the file; may be called twice.
   *
   * @throws the first failure to write, or the failure to read the journal.
   */
  finish(): Promise<void> {
    this.#finished ??= this.#finish();
    return this.#finished;
  }

  async #finish(): Promise<void> {
    try {
      await this.#asking;
      if (this.#account === undefined) await this.#repeat(() => this.#askAccount());
      this.#head();
      await this.#writeJournal();
      if (this.#failure !== undefined) throw this.#failure;
      fsyncSync(this.#descriptor);
    } finally {
      this.#stop.abort();
      closeSync(this.#descriptor);
    }
  }

  async #writeJournal(): Promise<void> {
    const accountId = this.#account ?? "";
    for (let afterEntry = 0n; ; ) {
      const { entries, nextPageToken } = await this.#repeat(() =>
        this.#accounts.listJournal({ accountId, afterEntry, pageSize: journalPage }),
      );
      for (const { entry, kind, worldId, strategyId, row, bodyJson } of entries) {
        this.#write({
          type: "journal",
          entry: Number(entry),
          kind: nameOfKind(kind),
          world_id: worldId,
          strategy_id: strategyId,
          row: Number(row),
          body: JSON.parse(bodyJson) as { op: string },
        });
        afterEntry = entry;
      }
      if (nextPageToken === "") return;
    }
  }

  async #askAccount(): Promise<void> {
    const { config, worldId } = this.#options;
    const { world } = await this.#worlds.getWorld({ worldId }, { timeoutMs: callMsMax });
    const account = world?.accountId ?? "";
    if (account === "") {
      throw new SessionRecordError(`world ${worldId} has no account: there is nothing to record`);
    }
    if (config.accounts[account] === undefined) {
      const message = `the configuration has no account "${account}", which world ${worldId} trades on`;
      throw new SessionRecordError(message);
    }
    this.#account = account;
  }

  #head(): void {
    const strategyId = this.#options.strategyId();
    if (this.#isHeaded || this.#account === undefined || strategyId === "") return;
    this.#isHeaded = true;
    this.#write(headerOf(this.#options, strategyId, this.#account));
  }

  /**
   * Requests the account and the weights until no request is pending. Never rejects: the run continues without them.
   */
  async #ask(): Promise<void> {
    while (this.#mustAsk && !this.#stop.signal.aborted) {
      this.#mustAsk = false;
      const fromMs = this.#bucketEndMs;
      try {
        if (this.#account === undefined) await this.#askAccount();
        await this.#askWeights(fromMs);
      } catch {
        // The next bucket tries again, and the end of the session requires the account.
      }
    }
  }

  async #askWeights(fromMs: number): Promise<void> {
    const { worldId, strategyId } = this.#options;
    const asked = { worldId, strategyId: strategyId() };
    if (asked.strategyId === "" || Number.isNaN(fromMs)) return;
    const { gate } = await this.#activations.getActivation(asked, { timeoutMs: callMsMax });
    const own = gate?.activations.filter((each) => each.strategyId === asked.strategyId) ?? [];
    // Without an activation no target is taken, so there is no weight to record yet.
    if (own.length === 0) return;
    const weightOf = (side: Side): number => {
      const found = own.find((each) => each.side === side)?.weight ?? 0;
      return Math.min(1, Math.max(0, found));
    };
    const long = weightOf(Side.LONG);
    const short = weightOf(Side.SHORT);
    if (long === this.#weights.long && short === this.#weights.short) return;
    this.#weights = { long, short };
    this.#write({ type: "weight", from_ms: fromMs, long, short });
  }

  /** Makes a call, and repeats it a few times if it fails. */
  async #repeat<T>(call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (failure) {
        if (failure instanceof SessionRecordError || attempt === attemptsMax) throw failure;
        await pause(this.#options.clock, againMs * 2 ** attempt, this.#stop.signal);
      }
    }
  }

  /** A full disk must not end the run; `finish` reports the failure. */
  #write(line: SessionRecordLine): void {
    if (this.#failure !== undefined) return;
    try {
      writeSync(this.#descriptor, sessionRecordLine(line));
    } catch (failure) {
      this.#failure = failure;
    }
  }
}

/** The header, with the settings of the account's router from the configuration. */
function headerOf(
  { config, worldId, strategyName }: SessionRecordingOptions,
  strategyId: string,
  accountId: string,
): HeaderLine {
  const account = config.accounts[accountId]!;
  return {
    type: "session",
    version: 1,
    strategy_name: strategyName,
    world_id: worldId,
    strategy_id: strategyId,
    account_id: accountId,
    initial_cash: Number(account.initial_cash),
    instruments: account.instruments.flatMap((symbol) => {
      const found = config.instruments[symbol];
      if (found === undefined) return [];
      const { lot: lotSize, tick, multiplier } = found;
      return [{ symbol, lotSize, tick: Number(tick), multiplier: Number(multiplier) }];
    }),
    limits: limitsOf(account),
  };
}

/** Name of a kind in a record, such as `order_state`. */
function nameOfKind(kind: JournalKind): string {
  const found = Object.entries(JournalKind).find(([, number]) => number === kind);
  return (found?.[0] ?? "unspecified").toLowerCase();
}
