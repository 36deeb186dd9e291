import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { addressesOf } from "./addresses.ts";
import type { ChannelSettings } from "./channel-options.ts";
import { qmtlErrorFrom } from "./error-details.ts";
import type { HeadersInit } from "./grpc-metadata.ts";
import { isAnswer } from "./is-answer.ts";
import { REPEATABLE_METHODS } from "./repeatable-methods.ts";
import { monotonicMs, pause } from "./system-clock.ts";
import { type ChannelState, ChannelTransport, type GrpcTransport } from "./transport.ts";

/** Longest wait for a server's health, milliseconds. */
const healthMsMax = 500;
/** A call that found no leader is tried again for this long, milliseconds: longer than any leader may be silent. */
const leaderlessMsMax = 6_000;
/** Pause between two searches for the leader, milliseconds. */
const lookAgainMs = 50;
/** Longest pause before a call that was refused for another reason is repeated, milliseconds. */
const repeatMsMax = 2_000;
/** Longest wait between two attempts to connect, milliseconds: a server that comes back is found quickly. */
const reconnectDelayMsMax = 500;

/** How a call failed, and what that says about the server it was sent to. */
interface Outcome {
  readonly isUnavailable: boolean;
  /** The server said that it does not lead: nothing was done, whatever the method. */
  readonly isRefused: boolean;
  /** The platform did not answer, or is draining: the connection is of no more use. */
  readonly isBroken: boolean;
}

/**
 * One service at several addresses, of which one leads: calls go there. The leader is found by asking each address for
 * its health, at the first call and whenever the leader in use is gone or reports that it no longer leads.
 *
 * A call refused with NOT_LEADER is sent again, whatever its method; a call whose connection broke is sent again if its
 * method is repeatable. Both end after `leaderlessMsMax` or the call's own timeout, whichever is shorter. A stream is
 * opened again only before its first message.
 */
class LeaderTransport implements GrpcTransport {
  readonly #channels: readonly ChannelTransport[];
  readonly #repeatable: ReadonlySet<string>;
  readonly #attemptsMax: number;
  readonly #onMoved: () => void;
  #leader: ChannelTransport;
  #isKnown = false;
  #search: Promise<boolean> | undefined;

  constructor(urls: string, settings: ChannelSettings = {}) {
    const own = {
      ...settings,
      repeatableMethods: [],
      reconnectDelayMsMax: Math.min(
        settings.reconnectDelayMsMax ?? reconnectDelayMsMax,
        reconnectDelayMsMax,
      ),
    };
    this.#channels = addressesOf(urls).map((url) => new ChannelTransport(url, own));
    const [first] = this.#channels;
    if (first === undefined) throw new RangeError("no address");
    this.#leader = first;
    this.#repeatable = new Set(settings.repeatableMethods ?? REPEATABLE_METHODS);
    this.#attemptsMax = settings.attemptsMax ?? 4;
    this.#onMoved = settings.onMoved ?? (() => {});
  }

  get calls(): number {
    return this.#channels.reduce((sum, channel) => sum + channel.calls, 0);
  }

  state(): ChannelState {
    return this.#leader.state();
  }

  async ready(timeoutMs: number): Promise<void> {
    await Promise.any(this.#channels.map((channel) => channel.ready(timeoutMs))).catch(() => {
      throw new ConnectError(`no connection within ${timeoutMs} ms`, Code.Unavailable);
    });
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
  ) {
    const call = await this.#begin(method, signal, timeoutMs);
    for (;;) {
      const channel = this.#leader;
      try {
        return await channel.unary(method, signal, call.leftMs(), header, input);
      } catch (failure) {
        if (!(await this.#mayRepeat(call, channel, failure))) throw failure;
      }
    }
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
  ) {
    const call = await this.#begin(method, signal, timeoutMs);
    if (method.methodKind !== "server_streaming") {
      return this.#leader.stream(method, signal, timeoutMs, header, input);
    }
    const requests: MessageShape<I>[] = [];
    for await (const request of input) requests.push(create(method.input, request));
    const open = () => this.#leader.stream(method, signal, call.leftMs(), header, each(requests));
    const first = await open();
    return { ...first, message: this.#read(call, first.message, open) };
  }

  /** The messages of a stream; one that fails before its first message may be opened again elsewhere. */
  async *#read<M>(
    call: Call,
    first: AsyncIterable<M>,
    reopen: () => Promise<{ message: AsyncIterable<M> }>,
  ): AsyncGenerator<M, void, void> {
    let messages = first;
    for (;;) {
      const channel = this.#leader;
      let isEmpty = true;
      try {
        for await (const message of messages) {
          isEmpty = false;
          yield message;
        }
        return;
      } catch (failure) {
        if (!isEmpty) {
          if (outcomeOf(failure).isUnavailable) void this.#find(undefined);
          throw failure;
        }
        if (!(await this.#mayRepeat(call, channel, failure))) throw failure;
      }
      messages = (await reopen()).message;
    }
  }

  async #begin(
    method: DescMethod,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
  ): Promise<Call> {
    const call = new Call(method, signal, timeoutMs);
    if (!this.#isKnown) await this.#find(undefined);
    return call;
  }

  /** Looks for the leader after a failure and pauses if necessary; true if the call may then be made again. */
  async #mayRepeat(call: Call, channel: ChannelTransport, failure: unknown): Promise<boolean> {
    const { isUnavailable, isRefused, isBroken } = outcomeOf(failure);
    if (call.isGivenUp) return false;
    if (!isUnavailable) {
      // A server that hangs shows only in calls that time out.
      if (isLate(failure)) void this.#find(undefined);
      return false;
    }
    if (this.#leader === channel) await this.#find(isRefused ? channel : undefined);
    const path = `${call.method.parent.typeName}/${call.method.name}`;
    if (!isRefused && !this.#repeatable.has(path)) return false;
    call.attempts += 1;
    if (!isRefused && !isBroken && call.attempts >= this.#attemptsMax) return false;
    const waitMs = this.#pauseMs(call, channel, isRefused || isBroken);
    if (waitMs >= call.patienceMs()) return false;
    if (waitMs > 0) await pause(waitMs, call.signal);
    return !call.isGivenUp;
  }

  /**
   * Pause before the next attempt: none if another address leads by now, a short one while none does, a growing one for
   * other refusals.
   */
  #pauseMs(call: Call, channel: ChannelTransport, isLeaderless: boolean): number {
    if (this.#leader !== channel) return 0;
    return isLeaderless ? lookAgainMs : Math.min(100 * 2 ** (call.attempts - 1), repeatMsMax);
  }

  /** Asks all addresses except one that refused, and takes the first that serves. False if none does. */
  #find(refused: ChannelTransport | undefined): Promise<boolean> {
    this.#search ??= this.#ask(refused).finally(() => {
      this.#search = undefined;
    });
    return this.#search;
  }

  async #ask(refused: ChannelTransport | undefined): Promise<boolean> {
    const asked = this.#channels.filter((channel) => channel !== refused);
    try {
      const found = await Promise.any(
        asked.map(async (channel) => {
          const state = await channel.health(healthMsMax);
          if (state !== "serving") throw new Error(state);
          return channel;
        }),
      );
      this.#isKnown = true;
      if (found !== this.#leader) {
        this.#leader = found;
        this.#onMoved();
      }
      return true;
    } catch {
      return false;
    }
  }
}

/** One call over all its attempts. */
class Call {
  readonly method: DescMethod;
  readonly signal: AbortSignal | undefined;
  /** Number of attempts that failed. */
  attempts = 0;
  readonly #timeoutMs: number | undefined;
  readonly #beganMs = monotonicMs();

  constructor(method: DescMethod, signal: AbortSignal | undefined, timeoutMs: number | undefined) {
    this.method = method;
    this.signal = signal;
    this.#timeoutMs = timeoutMs;
  }

  get isGivenUp(): boolean {
    return this.signal?.aborted === true;
  }

  /** What is left of the caller's timeout for the next attempt, milliseconds; undefined without a timeout. */
  leftMs(): number | undefined {
    return this.#timeoutMs === undefined
      ? undefined
      : Math.max(1, this.#timeoutMs - this.#passedMs());
  }

  /** How much longer attempts may continue, milliseconds. */
  patienceMs(): number {
    return Math.min(this.#timeoutMs ?? leaderlessMsMax, leaderlessMsMax) - this.#passedMs();
  }

  #passedMs(): number {
    return monotonicMs() - this.#beganMs;
  }
}

function outcomeOf(failure: unknown): Outcome {
  const error = qmtlErrorFrom(failure);
  return {
    isUnavailable: error.code === Code.Unavailable,
    isRefused: error.reason === "NOT_LEADER",
    isBroken: !isAnswer(error) || error.reason === "DRAINING",
  };
}

function isLate(failure: unknown): boolean {
  const error = qmtlErrorFrom(failure);
  return error.code === Code.DeadlineExceeded && !isAnswer(error);
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/**
 * A transport that follows the leader among several addresses, or the plain channel of a single one.
 *
 * @throws {QmtlError} CONFIG_INVALID for a bad address.
 */
export function createGrpcTransport(urls: string, settings: ChannelSettings = {}): GrpcTransport {
  return addressesOf(urls).length > 1
    ? new LeaderTransport(urls, settings)
    : new ChannelTransport(urls, settings);
}
