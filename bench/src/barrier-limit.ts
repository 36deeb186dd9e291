import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Db } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { endWithUs } from "../../examples/demo/src/end-with-us.ts";
import { stopwatchMs } from "./engine-stopwatch.ts";

export interface BarrierLimitOptions {
  /** Bars measured, after some to warm up. @default 400 */
  bars?: number;
  /** Runner processes. @default 3 */
  runners?: number;
}

type Stream = ServerDuplexStream<Buffer, Buffer>;

const warmUps = 100;
const program = fileURLToPath(new URL("./barrier-limit.child.ts", import.meta.url));
const asIs = (bytes: Buffer): Buffer => bytes;

const schema = `
  create schema bench;
  create table bench.log (key text, seq bigint, bytes bytea, primary key (key, seq));
  create table bench.head (key text primary key, next bigint);
  create table bench.journal (entry bigint primary key, bytes bytea);
  create table bench.bar (seq bigint primary key, bytes bytea);
  insert into bench.head select 'k' || i, 0 from generate_series(0, 3) i;`;
/** Records of four queues with their heads, and four journal entries. */
const rowsAndJournal = `
  with log as (insert into bench.log select 'k' || i, $1::bigint, $2::bytea from generate_series(0, 3) i),
    head as (update bench.head set next = $1::bigint + 1 where next = $1::bigint)
  insert into bench.journal select $1::bigint * 4 + i, $3::bytea from generate_series(0, 3) i`;
const bar = "insert into bench.bar values ($1, $2)";

/**
 * Mean milliseconds per bar of the least that keeps the product's promises on this machine: an owner, which is this
 * process, sends a row to runners in processes of their own over one gRPC stream each, waits for the answers of all of
 * them, and then makes two commits in the embedded database (rows and journal; the bar) before the next row.
 */
export async function barrierLimitMs(options: BarrierLimitOptions = {}): Promise<number> {
  const { bars = 400, runners = 3 } = options;
  await using host = await openTestPglite();
  const db = host.db("bench");
  await db.script(schema);
  await using barrier = await Barrier.open(runners);
  let start = 0;
  for (let row = 0; row < warmUps + bars; row++) {
    if (row === warmUps) start = stopwatchMs();
    await commit(db, row, await barrier.pass(row));
  }
  return (stopwatchMs() - start) / bars;
}

async function commit(db: Db, row: number, answers: readonly Buffer[]): Promise<void> {
  const bytes = Buffer.concat(answers);
  await db.query(rowsAndJournal, [row, bytes.subarray(0, 600), bytes.subarray(0, 300)]);
  await db.query(bar, [row, bytes.subarray(0, 900)]);
}

/** Sends each row to all runners and waits for the answers of all. */
class Barrier {
  readonly #server: Server;
  readonly #children: readonly ChildProcess[];
  readonly #streams: readonly Stream[];
  #answers: Buffer[] = [];
  #complete: (answers: readonly Buffer[]) => void = () => {};

  static async open(runners: number): Promise<Barrier> {
    const streams: Stream[] = [];
    const children: ChildProcess[] = [];
    const server = new Server();
    await new Promise<void>((resolve, reject) => {
      const attach = (stream: Stream): void => {
        streams.push(stream);
        if (streams.length === runners) resolve();
      };
      server.addService({ attach: method }, { attach });
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (failure, port) => {
        if (failure !== null) return reject(failure);
        for (let at = 0; at < runners; at++) {
          const child = fork(program, [String(port)]);
          endWithUs(child);
          child.once("exit", (code) => reject(new Error(`a runner ended with ${code}`)));
          children.push(child);
        }
      });
    });
    return new Barrier(server, children, streams);
  }

  private constructor(
    server: Server,
    children: readonly ChildProcess[],
    streams: readonly Stream[],
  ) {
    this.#server = server;
    this.#children = children;
    this.#streams = streams;
    for (const stream of streams) {
      stream.on("data", (answer: Buffer) => {
        this.#answers.push(answer);
        if (this.#answers.length === streams.length) this.#complete(this.#answers);
      });
      // A runner that is killed at the end breaks its stream.
      stream.on("error", () => {});
    }
  }

  pass(row: number): Promise<readonly Buffer[]> {
    const frame = Buffer.alloc(120);
    frame.writeUInt32LE(row, 0);
    frame.writeDoubleLE(100 + Math.sin(row), 8);
    this.#answers = [];
    return new Promise((resolve) => {
      this.#complete = resolve;
      for (const stream of this.#streams) stream.write(frame);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#children.map(
      (child) => new Promise((resolve) => child.once("exit", resolve)),
    );
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(ended);
    this.#server.forceShutdown();
  }
}

const method = {
  path: "/qmtl.bench.Barrier/Attach",
  requestStream: true,
  responseStream: true,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
} as const;
