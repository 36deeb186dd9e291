// Runs in a worker thread, which inherits no resolve hooks: relative files and npm packages only.
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { PGlite, protocol } from "@electric-sql/pglite";
import { clusterFolderOf, ensureCluster } from "./pglite-cluster.ts";
import type { PgliteAnswer, PgliteRequest, PgliteWorkerData } from "./pglite-messages.ts";
import type { EncodedParam } from "./sql-param.ts";
import { decoderOf, type ValueDecoder } from "./sql-value.ts";

type Row = Record<string, unknown>;

/** Same text forms as the PostgreSQL adapter asks for. */
const SESSION = `set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set bytea_output = 'hex';
  set extra_float_digits = 1; set intervalstyle = 'postgres'`;
/** Bytes columns at least this long are moved, not copied, to the other thread. */
const MOVED_BYTES_MIN = 16_384;

/** The extended protocol's five messages in one go: one entry into the database a statement. */
function statementBytes(sql: string, params: EncodedParam[]): Uint8Array {
  const { parse, bind, describe, execute, sync } = protocol.serialize;
  return Buffer.concat([
    parse({ text: sql }),
    bind({ values: params }),
    describe({ type: "P" }),
    execute({}),
    sync(),
  ]);
}

async function run(pglite: PGlite, bytes: Uint8Array): Promise<PgliteAnswer<Row>> {
  const { messages } = await pglite.execProtocol(bytes, { throwOnError: false });
  let columns: { name: string; decode: ValueDecoder }[] = [];
  const rows: Row[] = [];
  for (const message of messages) {
    if (message instanceof protocol.messages.DatabaseError) {
      const { message: text, code: sqlState = "XX000", constraint, column } = message;
      return { kind: "refused", error: { message: text, sqlState, constraint, column } };
    }
    if (message instanceof protocol.messages.RowDescriptionMessage) {
      columns = message.fields.map(({ name, dataTypeID }) => ({
        name,
        decode: decoderOf(dataTypeID),
      }));
    } else if (message instanceof protocol.messages.DataRowMessage) {
      const { fields } = message;
      const row: Row = {};
      columns.forEach(({ name, decode }, index) => {
        const text = fields[index];
        row[name] = text === null || text === undefined ? null : decode(text);
      });
      rows.push(row);
    }
  }
  return { kind: "rows", rows };
}

function movable(answer: PgliteAnswer<Row>): ArrayBuffer[] {
  if (answer.kind !== "rows") return [];
  return answer.rows.flatMap((row) =>
    Object.values(row).flatMap((value) =>
      value instanceof Uint8Array &&
      value.length >= MOVED_BYTES_MIN &&
      value.buffer instanceof ArrayBuffer
        ? [value.buffer]
        : [],
    ),
  );
}

async function answerTo(pglite: PGlite, request: PgliteRequest): Promise<PgliteAnswer<Row>> {
  if (request.kind === "close") {
    await pglite.close();
    return { kind: "rows", rows: [] };
  }
  const bytes =
    request.kind === "script"
      ? protocol.serialize.query(request.sql)
      : statementBytes(request.sql, request.params);
  try {
    const answer = await run(pglite, bytes);
    return request.kind === "script" && answer.kind === "rows"
      ? { kind: "rows", rows: [] }
      : answer;
  } catch (cause) {
    if (cause instanceof RangeError || cause instanceof SyntaxError) {
      return { kind: "undecodable", message: cause.message };
    }
    throw cause;
  }
}

async function serve(port: MessagePort, data: PgliteWorkerData): Promise<void> {
  const answer = (message: PgliteAnswer<Row>) => port.postMessage(message, movable(message));
  const fatal = (cause: unknown) => {
    answer({ kind: "fatal", message: cause instanceof Error ? cause.message : String(cause) });
    port.close();
  };
  try {
    await ensureCluster(data.dataDir, data.cacheDir);
    const pglite = await PGlite.create(clusterFolderOf(data.dataDir));
    await pglite.exec(SESSION);
    let tail: Promise<void> = Promise.resolve();
    port.on("message", (request: PgliteRequest) => {
      tail = tail.then(async () => answer(await answerTo(pglite, request))).catch(fatal);
    });
    answer({ kind: "ready" });
  } catch (cause) {
    fatal(cause);
  }
}

if (parentPort !== null) await serve(parentPort, workerData);
