import type { QmtlError } from "@qmtl/sdk/rpc";
import { callCancelled } from "./active-calls.ts";
import { tooLarge } from "./library-refusal.ts";
import { type Arriving, type RequestIntake, refusedIntake } from "./request-intake.ts";
import type { WebRequest, WebResponse } from "./web-guard.ts";

/** What a body may have besides its message: the head of an envelope, bytes. */
const ENVELOPE_BYTES = 5;
/** Room for the body of most requests, bytes; doubled as more comes in. */
const FIRST_ROOM_BYTES = 4 * 1024;

/**
 * The body of one request at the HTTP server, read whole before it is passed on. Its size, the time it takes, and the
 * memory of all bodies together are bounded. A stated length alone takes no memory.
 */
export class WebArrival implements Arriving, AsyncIterable<Uint8Array> {
  bytes = 0;
  readonly #request: WebRequest;
  readonly #response: WebResponse;
  readonly #intake: RequestIntake;
  readonly #bytesMax: number;
  #body: Buffer = Buffer.alloc(0);
  #length = 0;
  #settle: ((failure?: QmtlError) => void) | undefined;

  constructor(
    request: WebRequest,
    response: WebResponse,
    bounds: { intake: RequestIntake; bytesMax: number },
  ) {
    this.#request = request;
    this.#response = response;
    this.#intake = bounds.intake;
    this.#bytesMax = bounds.bytesMax;
  }

  /**
   * Resolves when the body is complete.
   *
   * @throws {QmtlError} TOO_MANY_REQUESTS when it takes too much memory or time, MESSAGE_TOO_LARGE.
   */
  read(): Promise<void> {
    const request = this.#request;
    return new Promise<void>((resolve, reject) => {
      this.#settle = (failure) => {
        this.#settle = undefined;
        request.off("data", this.#take);
        this.#intake.leave(this);
        if (failure === undefined) {
          resolve();
          return;
        }
        this.#body = Buffer.alloc(0);
        this.#length = 0;
        // The rest is read and dropped, so that a caller in the middle of sending gets the answer.
        request.resume();
        reject(failure);
      };
      this.#intake.enter(this);
      request.on("error", () => {});
      request.once("end", () => this.#settle?.());
      request.once("close", () => this.#settle?.(callCancelled()));
      request.on("data", this.#take);
      if (this.#isTooLarge(Number(request.headers["content-length"] ?? 0)))
        this.#settle(tooLarge(this.#bytesMax));
    });
  }

  refuse(why: string): void {
    // HTTP/1.1 has no other way to say that the rest is not wanted.
    if (this.#request.httpVersionMajor === 1) this.#response.setHeader("connection", "close");
    this.#settle?.(refusedIntake(why));
  }

  /** What has arrived. */
  get body(): Uint8Array {
    return this.#body.subarray(0, this.#length);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    yield this.body;
  }

  #isTooLarge(length: number): boolean {
    return length > this.#bytesMax + ENVELOPE_BYTES;
  }

  readonly #take = (chunk: Buffer): void => {
    const length = this.#length + chunk.length;
    if (this.#isTooLarge(length)) {
      this.#settle?.(tooLarge(this.#bytesMax));
      return;
    }
    let room = Math.max(this.#body.length, FIRST_ROOM_BYTES);
    while (room < length) room *= 2;
    if (room > this.#body.length) {
      this.#intake.take(this, room - this.#body.length);
      if (this.#settle === undefined) return;
      const body = Buffer.allocUnsafeSlow(room);
      this.#body.copy(body, 0, 0, this.#length);
      this.#body = body;
    }
    chunk.copy(this.#body, this.#length);
    this.#length = length;
  };
}
