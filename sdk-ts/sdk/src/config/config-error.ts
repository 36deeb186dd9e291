/**
 * Why there is no configuration: the file is missing, cannot be read, is empty, is not YAML or has invalid values; or a
 * secret it refers to is missing, readable by everybody, or short enough to be guessed.
 */
export type ConfigErrorReason =
  | "CONFIG_NOT_FOUND"
  | "CONFIG_UNREADABLE"
  | "CONFIG_EMPTY"
  | "CONFIG_NOT_YAML"
  | "CONFIG_INVALID"
  | "SECRET_UNAVAILABLE"
  | "SECRET_EXPOSED"
  | "SECRET_TOO_SHORT";

/** One problem in a configuration. */
export interface ConfigIssue {
  /** Dotted key, e.g. `accounts.main.fee_bps`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** Line in the file, from 1; absent if the value came from the environment or is missing altogether. */
  readonly line?: number;
  readonly column?: number;
  /** A known key of nearly the same name. */
  readonly suggestion?: string;
}

/** Thrown when a configuration is refused; carries everything that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly reason: ConfigErrorReason;
  readonly file: string | undefined;
  readonly issues: readonly ConfigIssue[];

  constructor(reason: ConfigErrorReason, file: string | undefined, issues: readonly ConfigIssue[]) {
    super(issues.map((issue) => issueText(issue, file)).join("\n"));
    this.reason = reason;
    this.file = file;
    this.issues = issues;
  }
}

function issueText(issue: ConfigIssue, file: string | undefined): string {
  const place = issue.line === undefined ? "" : `:${issue.line}:${issue.column ?? 1}`;
  const path = issue.path === "" ? "" : `${issue.path}: `;
  const hint = issue.suggestion === undefined ? "" : ` (did you mean "${issue.suggestion}"?)`;
  return `${file ?? "configuration"}${place}: ${path}${issue.message}${hint}`;
}
