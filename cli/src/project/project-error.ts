import { CommandError, ExitCode } from "../exit-codes.ts";

/**
 * Why a project command was refused. Nothing was written.
 *
 * - `TEMPLATE_UNKNOWN`, `PRESET_UNKNOWN`, `LAYER_UNKNOWN`: no such name; the message lists those there are.
 * - `TEMPLATE_NOT_BUILT`: the name is known, but what it needs does not exist yet.
 * - `NAME_INVALID`: the folder's name cannot be the name of a project.
 * - `PATH_TAKEN`: something is in the way, and `--force` was not given or would not help.
 * - `LAYER_PRESENT`: of `add-layer`; the project has the layer already.
 * - `NOT_A_PROJECT`: of `add-layer` and `validate`; the folder holds no project.
 * - `PACKAGES_INVALID`: the folder of `--packages` does not hold what a project needs.
 * - `SAMPLE_DATA_FAILED`: the project's generator did not run.
 * - `INTERRUPTED`: stopped by a signal.
 */
export type ProjectErrorReason =
  | "TEMPLATE_UNKNOWN"
  | "PRESET_UNKNOWN"
  | "LAYER_UNKNOWN"
  | "TEMPLATE_NOT_BUILT"
  | "NAME_INVALID"
  | "PATH_TAKEN"
  | "LAYER_PRESENT"
  | "NOT_A_PROJECT"
  | "PACKAGES_INVALID"
  | "SAMPLE_DATA_FAILED"
  | "INTERRUPTED";

const exitCodes = {
  TEMPLATE_UNKNOWN: ExitCode.usage,
  PRESET_UNKNOWN: ExitCode.usage,
  LAYER_UNKNOWN: ExitCode.usage,
  TEMPLATE_NOT_BUILT: ExitCode.notBuilt,
  NAME_INVALID: ExitCode.usage,
  PATH_TAKEN: ExitCode.refused,
  LAYER_PRESENT: ExitCode.refused,
  NOT_A_PROJECT: ExitCode.usage,
  PACKAGES_INVALID: ExitCode.usage,
  SAMPLE_DATA_FAILED: ExitCode.refused,
  INTERRUPTED: ExitCode.interrupted,
} as const satisfies Record<ProjectErrorReason, ExitCode>;

/** A refusal of a project command: the files are as they were. */
export class ProjectError extends CommandError {
  readonly reason: ProjectErrorReason;

  constructor(reason: ProjectErrorReason, message: string, hint?: string) {
    super(message, exitCodes[reason], hint);
    this.reason = reason;
  }
}
