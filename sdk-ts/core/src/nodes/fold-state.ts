import type { KernelState } from "./kernel.ts";

/** State of an author's fold between rows: numbers, booleans and arrays of numbers under fixed names. */
export type FoldState = { [field: string]: number | boolean | Float64Array };

/** A state is no longer of the shape of the initial one: a field has another type, or was added. */
export class StateShapeError extends TypeError {}

/** One field of a state. */
interface StateField {
  readonly name: string;
  readonly kind: "number" | "boolean" | "array";
  /** Numbers it takes in a saved state. */
  readonly size: number;
}

/** Shape of a fold's state, which never changes; fields in name order, as they are saved. */
export class StateLayout {
  /** Numbers in a saved state. */
  readonly size: number;
  readonly #initial: Readonly<FoldState>;
  readonly #fields: readonly StateField[];

  /** @param initial state before the first row; it is not changed */
  constructor(initial: Readonly<FoldState>) {
    this.#initial = initial;
    this.#fields = Object.keys(initial)
      .sort()
      .map((name) => fieldOf(name, initial[name]!));
    this.size = this.#fields.reduce((sum, { size }) => sum + size, 0);
  }

  /** A state before the first row. Fields can neither be added nor removed. */
  create(): FoldState {
    const entries = Object.entries(this.#initial).map(([name, value]) => [
      name,
      value instanceof Float64Array ? value.slice() : value,
    ]);
    return Object.seal(Object.fromEntries(entries)) as FoldState;
  }

  /** @throws {StateShapeError} for a field that is not of the declared type */
  check(state: Readonly<FoldState>): void {
    const fields = this.#fields;
    for (let k = 0; k < fields.length; k++) {
      const field = fields[k]!;
      const value = state[field.name];
      const isSame =
        field.kind === "array"
          ? value instanceof Float64Array && value.length === field.size
          : typeof value === field.kind;
      if (!isSame) throw wrongField(field, value);
    }
  }

  /** The numbers of a state that was checked. */
  save(state: Readonly<FoldState>): KernelState {
    const saved = new Float64Array(this.size);
    let at = 0;
    for (const { name, size } of this.#fields) {
      const value = state[name]!;
      if (value instanceof Float64Array) saved.set(value, at);
      else saved[at] = Number(value);
      at += size;
    }
    return saved;
  }

  /** Writes a saved state into `state`. */
  load(state: FoldState, saved: KernelState): void {
    let at = 0;
    for (const { name, kind, size } of this.#fields) {
      if (kind === "array") state[name] = saved.slice(at, at + size);
      else state[name] = kind === "boolean" ? saved[at] === 1 : saved[at]!;
      at += size;
    }
  }

  /** What a step threw, as an error of the state's shape if it is one. */
  explained(cause: unknown): unknown {
    if (!(cause instanceof TypeError) || !/extensible|delete property/.test(cause.message))
      return cause;
    const names = this.#fields.map(({ name }) => name).join(", ");
    const error = new StateShapeError(
      `a step cannot add or remove fields: the state has ${names} (${cause.message})`,
      { cause },
    );
    if (cause.stack !== undefined) error.stack = cause.stack; // where the author's function did it
    return error;
  }
}

function fieldOf(name: string, value: FoldState[string]): StateField {
  if (value instanceof Float64Array) return { name, kind: "array", size: value.length };
  return { name, kind: typeof value === "boolean" ? "boolean" : "number", size: 1 };
}

function wrongField({ name, kind, size }: StateField, value: unknown): StateShapeError {
  const declared = kind === "array" ? `a Float64Array of ${size}` : `a ${kind}`;
  const is =
    value instanceof Float64Array
      ? `a Float64Array of ${value.length}`
      : value === null
        ? "null"
        : typeof value;
  return new StateShapeError(`field "${name}" of the state is ${is}; it must stay ${declared}`);
}
