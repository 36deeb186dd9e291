/** One finding about a project. */
export interface ProjectCheck {
  /** What was looked at: `structure`, `packages`, `config`, `data`, `layers`, `strategy`. */
  readonly check: string;
  readonly status: "ok" | "warning" | "error";
  readonly message: string;
  /** What to do about it; absent when it is ok. */
  readonly fix?: string;
}
