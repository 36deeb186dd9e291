/** Why the database refused or failed; stable, for callers to match. */
type DbErrorReason =
  | "UNIQUE_VIOLATION"
  | "CONSTRAINT_VIOLATION"
  | "SERIALIZATION_FAILURE"
  | "STATEMENT_TIMEOUT"
  | "TRANSACTION_ABORTED"
  | "TRANSACTION_TIMEOUT"
  | "DB_UNAVAILABLE"
  | "DB_OVERLOADED"
  | "UNKNOWN_OUTCOME"
  | "DATA_FOLDER_LOCKED"
  | "MIGRATION_REFUSED"
  | "STORE_FORMAT_REFUSED"
  | "SQL_ERROR";

/** Every failure a `Db` reports. Anything else that it throws is a bug of the caller. */
export class DbError extends Error {
  readonly reason: DbErrorReason;
  /** Five-character SQLSTATE, when the server gave one. */
  readonly sqlState: string | undefined;

  constructor(
    reason: DbErrorReason,
    message: string,
    options: { cause?: unknown; sqlState?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.reason = reason;
    this.sqlState = options.sqlState;
  }
}

/** A row with this key exists already. */
export class UniqueViolation extends DbError {
  /** Name of the constraint or unique index. */
  readonly constraint: string;

  constructor(constraint: string, message: string, cause?: unknown) {
    super("UNIQUE_VIOLATION", message, { cause, sqlState: "23505" });
    this.constraint = constraint;
  }
}

/** A foreign key, check, not-null or exclusion constraint does not hold. */
export class ConstraintViolation extends DbError {
  /** Name of the constraint; of the column where a not-null fails. */
  readonly constraint: string;

  constructor(constraint: string, sqlState: string, message: string, cause?: unknown) {
    super("CONSTRAINT_VIOLATION", message, { cause, sqlState });
    this.constraint = constraint;
  }
}

/** Serialization failure or deadlock: nothing was stored; run the whole transaction again. */
class SerializationFailure extends DbError {
  constructor(sqlState: string, message: string, cause?: unknown) {
    super("SERIALIZATION_FAILURE", message, { cause, sqlState });
  }
}

/** The database cannot be reached, and nothing of this call was stored. */
export class DbUnavailable extends DbError {
  constructor(message: string, cause?: unknown) {
    super("DB_UNAVAILABLE", message, { cause });
  }
}

/**
 * The connection was lost while COMMIT, or a statement outside a transaction, was under way: it may
 * or may not have been stored. Read before doing it again: whatever becomes of it has happened before
 * the next call of the `Db` is carried out.
 */
export class UnknownOutcome extends DbError {
  constructor(message: string, cause?: unknown) {
    super("UNKNOWN_OUTCOME", message, { cause });
  }
}

/** Another process has the data folder open. */
export class DataFolderLocked extends DbError {
  /** Process that holds the lock. */
  readonly pid: number;
  readonly folder: string;

  constructor(folder: string, pid: number, detail: string) {
    super("DATA_FOLDER_LOCKED", `data folder ${folder} is in use by process ${pid}${detail}`);
    this.pid = pid;
    this.folder = folder;
  }
}

/** What a server reports about an error, in either adapter. */
export interface ServerError {
  message: string;
  sqlState: string;
  constraint?: string | undefined;
  column?: string | undefined;
}

/** True for SQLSTATEs after which the connection is gone or going. */
function isConnectionLoss(sqlState: string): boolean {
  return sqlState.startsWith("08") || sqlState.startsWith("57P");
}

/** The `DbError` for what the server answered. */
export function dbErrorFromServer(error: ServerError, cause?: unknown): DbError {
  const { sqlState, message } = error;
  if (sqlState === "23505") return new UniqueViolation(error.constraint ?? "", message, cause);
  if (sqlState.startsWith("23")) {
    return new ConstraintViolation(
      error.constraint ?? error.column ?? "",
      sqlState,
      message,
      cause,
    );
  }
  if (sqlState === "40001" || sqlState === "40P01") {
    return new SerializationFailure(sqlState, message, cause);
  }
  if (sqlState === "57014" || sqlState === "55P03") {
    return new DbError("STATEMENT_TIMEOUT", message, { cause, sqlState });
  }
  if (isConnectionLoss(sqlState)) return new DbUnavailable(message, cause);
  return new DbError("SQL_ERROR", message, { cause, sqlState });
}
