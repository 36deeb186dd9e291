import type { Db, Queryable, SqlParam, TransactionOptions, Tx } from "../db/db.ts";

/** Called with each statement, in the order in which they are sent: its schema and its text; "commit" ends a transaction. */
export type StatementListener = (schema: string, sql: string) => void;

/** A database that reports each statement that is sent to it. BEGIN goes with the first statement and is not one. */
export function countedDb(db: Db, onStatement: StatementListener): Db {
  const listening = (inner: Queryable): Queryable => ({
    query: <Row extends object>(sql: string, params?: readonly SqlParam[]) => {
      onStatement(db.schema, sql);
      return inner.query<Row>(sql, params);
    },
    script: (sql) => {
      onStatement(db.schema, sql);
      return inner.script(sql);
    },
  });
  return {
    ...listening(db),
    kind: db.kind,
    schema: db.schema,
    async transaction<T>(fn: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T> {
      const result = await db.transaction((tx) => fn(listening(tx)), options);
      onStatement(db.schema, "commit");
      return result;
    },
    close: () => db.close(),
    [Symbol.asyncDispose]: () => db.close(),
  };
}
