// Runs in a worker thread.
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { PGlite, protocol } from "@electric-sql/pglite";
import { clusterFolderOf, ensureCluster } from "./pglite-cluster.ts";
import type { PgliteAnswer, PgliteRequest, PgliteWorkerData } from "./pglite-messages.ts";
import { PgliteStatements, type PreparedRun } from "./pglite-statements.ts";
import type { EncodedParam } from "./sql-param.ts";
import { decoderOf, type ValueDecoder } from "./sql-value.ts";

type Row = Record<string, unknown>;

/**
 * Same text forms as the PostgreSQL adapter asks for. Pages are in memory, and a plan is kept for hundreds of runs while
 * its tables grow: one that was made for a few rows must use an index, too.
 */
const SESSION = `set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set bytea_output = 'hex';
  set extra_float_digits = 1; set intervalstyle = 'postgres'; set random_page_cost = 0.1`;
/**
 * By default the server keeps 128 MB of buffers for a hundred connections: memory that is cleared at every start, while
 * here one connection uses a small database.
 */
const START = [
  ...PGlite.defaultStartParams,
  ...["shared_buffers=32MB", "max_connections=10"].flatMap((setting) => ["-c", setting]),
];
/** Bytes columns at least this long are moved, not copied, to the other thread. */
const MOVED_BYTES_MIN = 16_384;

/** SQLSTATE of a statement that no longer fits its tables: it is parsed anew next time. */
const CACHED_PLAN_CHANGED = "0A000";

const begin = (sql: string): Uint8Array[] => {
  const { parse, bind, execute } = protocol.serialize;
  return [parse({ text: sql }), bind({}), execute({})];
};

/**
 * The messages of a statement, joined so that the database is entered once. The BEGIN of a transaction precedes its
 * first statement; if it fails, the server skips everything up to the sync.
 */
function statementBytes(
  run: PreparedRun,
  params: EncodedParam[],
  beginSql: string | undefined,
): Uint8Array {
  const { bind, describe, execute, sync } = protocol.serialize;
  return Buffer.concat([
    ...(beginSql === undefined ? [] : begin(beginSql)),
    ...run.messages,
    bind({ statement: run.name, values: params }),
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

function movable(answers: readonly PgliteAnswer<Row>[]): ArrayBuffer[] {
  const rows = answers.flatMap((answer) => (answer.kind === "rows" ? answer.rows : []));
  return rows.flatMap((row) =>
    Object.values(row).flatMap((value) =>
      value instanceof Uint8Array &&
      value.length >= MOVED_BYTES_MIN &&
      value.buffer instanceof ArrayBuffer
        ? [value.buffer]
        : [],
    ),
  );
}

async function answerTo(
  pglite: PGlite,
  statements: PgliteStatements,
  request: PgliteRequest,
): Promise<PgliteAnswer<Row>> {
  if (request.kind === "close") {
    await pglite.close();
    return { kind: "rows", rows: [] };
  }
  try {
    return request.kind === "script"
      ? await runScript(pglite, statements, request)
      : await runQuery(pglite, statements, request);
  } catch (cause) {
    if (cause instanceof RangeError || cause instanceof SyntaxError) {
      return { kind: "undecodable", message: cause.message };
    }
    throw cause;
  }
}

async function runQuery(
  pglite: PGlite,
  statements: PgliteStatements,
  request: Extract<PgliteRequest, { kind: "query" }>,
): Promise<PgliteAnswer<Row>> {
  const { sql, params } = request;
  const prepared = statements.run(sql);
  const answer = await run(pglite, statementBytes(prepared, params, request.begin));
  const isGone =
    answer.kind === "refused" && (prepared.isNew || answer.error.sqlState === CACHED_PLAN_CHANGED);
  if (isGone) statements.forget(sql);
  return answer;
}

async function runScript(
  pglite: PGlite,
  statements: PgliteStatements,
  request: Extract<PgliteRequest, { kind: "script" }>,
): Promise<PgliteAnswer<Row>> {
  if (request.begin !== undefined) {
    const { sync } = protocol.serialize;
    const begun = await run(pglite, Buffer.concat([...begin(request.begin), sync()]));
    if (begun.kind === "refused") return begun;
  }
  statements.forgetAll();
  const answer = await run(pglite, protocol.serialize.query(request.sql));
  return answer.kind === "rows" ? { kind: "rows", rows: [] } : answer;
}

async function serve(port: MessagePort, data: PgliteWorkerData): Promise<void> {
  const answer = (answers: PgliteAnswer<Row>[]) => port.postMessage(answers, movable(answers));
  const fatal = (cause: unknown) => {
    answer([{ kind: "fatal", message: cause instanceof Error ? cause.message : String(cause) }]);
    port.close();
  };
  try {
    await ensureCluster(data.dataDir, data.cacheDir);
    const pglite = await PGlite.create(clusterFolderOf(data.dataDir), { startParams: START });
    await pglite.exec(SESSION);
    const statements = new PgliteStatements();
    let tail: Promise<void> = Promise.resolve();
    const answerAll = async (requests: readonly PgliteRequest[]) => {
      const answers: PgliteAnswer<Row>[] = [];
      for (const request of requests) answers.push(await answerTo(pglite, statements, request));
      answer(answers);
    };
    port.on("message", (requests: PgliteRequest[]) => {
      tail = tail.then(() => answerAll(requests)).catch(fatal);
    });
    answer([{ kind: "ready" }]);
  } catch (cause) {
    fatal(cause);
  }
}

if (parentPort !== null) await serve(parentPort, workerData);
