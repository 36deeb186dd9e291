/** Why a backup or a restore was refused; stable, for programs. */
export type BackupErrorReason =
  /** There is nothing to back up. */
  | "STORE_EMPTY"
  /** A restore into this store was interrupted; what is in it may not be used. */
  | "STORE_UNFINISHED"
  /** There is data where the backup would go. */
  | "STORE_NOT_EMPTY"
  /** A process uses the store. */
  | "STORE_IN_USE"
  /** The file for the backup exists already. */
  | "FILE_EXISTS"
  /** The file cannot be read or written. */
  | "FILE_UNUSABLE"
  /** The file is not a backup, or not as it was written. */
  | "BACKUP_DAMAGED"
  /** A newer version made it, or one whose tables differ. */
  | "BACKUP_UNSUPPORTED"
  /** The file is as it was written, but what it holds contradicts itself. */
  | "BACKUP_INCONSISTENT";

/** A backup or a restore that was refused. Failures of the database stay `DbError`s. */
export class BackupError extends Error {
  override readonly name = "BackupError";
  readonly reason: BackupErrorReason;

  constructor(reason: BackupErrorReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}
