/** Most kinds of problem that are counted separately; further ones are counted under one name. */
const kindsMax = 50;
const otherKind = "other problems";

/** One kind of problem of a run: its newest text, and how often it occurred. */
export interface ProblemKind {
  readonly problem: string;
  readonly count: number;
}

export interface RunProblemsOptions {
  readonly asJson: boolean;
  /** Takes one line, without its end. @default standard error */
  readonly write?: (line: string) => void;
}

/**
 * Reports the problems of a run: each kind once when it first occurs, and at the end those that recurred, with their
 * newest text, which has the newest numbers, and their count. Two texts are of one kind when only numbers and ids
 * differ. Writes one line each; with `asJson` an object `{event: "problem", problem, count}`.
 */
export class RunProblems {
  readonly #asJson: boolean;
  readonly #write: (line: string) => void;
  readonly #kinds = new Map<string, { problem: string; count: number }>();

  constructor(options: RunProblemsOptions) {
    this.#asJson = options.asJson;
    this.#write = options.write ?? ((line) => console.error(line));
  }

  /** Kinds of problem so far, in the order in which they first occurred. */
  get kinds(): readonly ProblemKind[] {
    return [...this.#kinds.values()];
  }

  /** Counts a problem, and prints it if it is the first of its kind. */
  report(problem: string): void {
    const own = kindOf(problem);
    const isRoom = this.#kinds.has(own) || this.#kinds.size < kindsMax;
    const kind = isRoom ? own : otherKind;
    const known = this.#kinds.get(kind);
    if (known !== undefined) {
      known.count++;
      if (isRoom) known.problem = problem;
      return;
    }
    const first = { problem: isRoom ? problem : otherKind, count: 1 };
    this.#kinds.set(kind, first);
    this.#print(first);
  }

  /** Prints the counts of what occurred more than once. */
  end(): void {
    for (const kind of this.#kinds.values()) if (kind.count > 1) this.#print(kind);
  }

  #print({ problem, count }: ProblemKind): void {
    if (this.#asJson) this.#write(JSON.stringify({ event: "problem", problem, count }));
    else
      this.#write(`problem: ${problem}${count === 1 ? "" : ` (${count} times, this is the last)`}`);
  }
}

/** The text with `#` for ids, hashes and numbers, which differ each time. */
function kindOf(problem: string): string {
  return problem.replaceAll(/\b[0-9a-f]{8}[0-9a-f-]*\b/gi, "#").replaceAll(/\d+/g, "#");
}
