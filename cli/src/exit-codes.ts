import { QmtlError, StatusCode } from "@qmtl/sdk/errors";

/** Exit codes of every command. Documented in `--help`. */
export const ExitCode = {
  ok: 0,
  /** The call was refused, or what was asked for did not happen. */
  refused: 1,
  /** Bad usage, configuration or input file; nothing was done. */
  usage: 2,
  /** The platform could not be reached; for `up` and `service`: the database was lost, start it again. */
  unreachable: 3,
  /** The feature is in the contract but not built yet. */
  notBuilt: 4,
  /** Ctrl-C. */
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** A failure of the command itself, with the code it exits with and what to do next. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;
  constructor(message: string, exitCode: ExitCode = ExitCode.usage, hint?: string) {
    super(message);
    this.exitCode = exitCode;
    this.hint = hint;
  }
}

/** A refusal of the platform, reworded, under its stable reason. */
export class RefusalError extends CommandError {
  readonly reason: string;
  constructor(message: string, exitCode: ExitCode, hint: string, reason: string) {
    super(message, exitCode, hint);
    this.reason = reason;
  }
}

/** Exit code of any failure. */
export function exitCodeOf(failure: unknown): ExitCode {
  if (failure instanceof CommandError) return failure.exitCode;
  const reason = reasonOf(failure);
  // The request is fine, but something on this machine is in the way.
  const isInTheWay = ["DATA_FOLDER_LOCKED", "STORE_FORMAT_REFUSED", "PORT_TAKEN"].includes(
    reason ?? "",
  );
  if (isInTheWay) return ExitCode.refused;
  if (reason === "DB_UNAVAILABLE" || reason === "BUS_UNAVAILABLE") return ExitCode.unreachable;
  if (!(failure instanceof QmtlError)) return ExitCode.usage;
  if (failure.code === StatusCode.Unavailable || failure.code === StatusCode.DeadlineExceeded)
    return ExitCode.unreachable;
  if (failure.code === StatusCode.Unimplemented) return ExitCode.notBuilt;
  if (failure.reason === "CONFIG_INVALID") return ExitCode.usage;
  return ExitCode.refused;
}

/** The stable reason of a failure, whoever refused: the platform, the configuration, a file, a strategy. */
export function reasonOf(failure: unknown): string | undefined {
  const isOurs = failure instanceof Error && "reason" in failure;
  return isOurs && typeof failure.reason === "string" ? failure.reason : undefined;
}
