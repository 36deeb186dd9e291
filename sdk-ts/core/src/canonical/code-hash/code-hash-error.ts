/**
 * Why a function has no code hash. Each reason means that the hash would not cover what the function does.
 *
 * - `CAPTURED_LOCAL`: it uses a variable (or `this`) of an enclosing function.
 * - `MUTABLE_STATE`: it reads a module variable that is reassigned, or writes to something outside itself.
 * - `NONDETERMINISTIC`: it reads a clock, a random source, local time, the machine's language or environment,
 *   `import.meta` or code made at run time.
 * - `UNKNOWN_GLOBAL`: a name that is neither declared in its module nor part of the language.
 * - `UNRESOLVED_IMPORT`: an import whose file, package or export cannot be found.
 * - `FUNCTION_NOT_FOUND`: no function of the module, of files it imports by relative path or of packages that these
 *   import has this text.
 * - `AMBIGUOUS_FUNCTION`: several functions have this text and mean different things.
 * - `UNSUPPORTED_FUNCTION`: native, bound, or written in syntax outside the recipe.
 * - `PARSE_FAILED`: a source file does not parse.
 */
export type CodeHashErrorReason =
  | "CAPTURED_LOCAL"
  | "MUTABLE_STATE"
  | "NONDETERMINISTIC"
  | "UNKNOWN_GLOBAL"
  | "UNRESOLVED_IMPORT"
  | "FUNCTION_NOT_FOUND"
  | "AMBIGUOUS_FUNCTION"
  | "UNSUPPORTED_FUNCTION"
  | "PARSE_FAILED";

/** A function that cannot be hashed; `symbol` is the offending name, if there is one. */
export class CodeHashError extends Error {
  override readonly name = "CodeHashError";
  readonly reason: CodeHashErrorReason;
  readonly file: string;
  readonly symbol: string | undefined;
  /** Line of the file, from 1, where it is known. */
  readonly line: number | undefined;
  /** What is wrong, without the place. */
  readonly problem: string;

  constructor(
    reason: CodeHashErrorReason,
    file: string,
    problem: string,
    symbol?: string,
    line?: number,
  ) {
    super(`${problem} (${file}${line === undefined ? "" : `:${line}`})`);
    this.reason = reason;
    this.file = file;
    this.problem = problem;
    this.symbol = symbol;
    this.line = line;
  }

  /** The same error, with the node's name in its message. */
  ofNode(name: string): CodeHashError {
    const { reason, file, problem, symbol, line } = this;
    return new CodeHashError(reason, file, `node "${name}": ${problem}`, symbol, line);
  }
}
