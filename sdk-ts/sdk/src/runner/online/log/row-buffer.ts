/** Rows per chunk. */
const chunkRows = 256;

/**
 * Consecutive rows by their number, appended at the end and freed from the front. Freeing a row costs the same whether
 * it is the first or the millionth: nothing is moved, and the memory of a chunk is released once its last row is freed.
 */
export class RowBuffer<T> {
  readonly #chunks = new Map<number, (T | undefined)[]>();
  #firstRow = Number.NaN;
  #nextRow = Number.NaN;

  /** Number of the first row; that of the next row if the buffer is empty, NaN before `begin`. */
  get firstRow(): number {
    return this.#firstRow;
  }

  /** Number of rows in the buffer. */
  get size(): number {
    return Number.isNaN(this.#firstRow) ? 0 : this.#nextRow - this.#firstRow;
  }

  /** The value of a row; undefined if the buffer does not have it. */
  at(row: number): T | undefined {
    return this.#chunks.get(Math.floor(row / chunkRows))?.[row % chunkRows];
  }

  /** Drops everything; the next row appended has this number. */
  begin(row: number): void {
    this.#chunks.clear();
    this.#firstRow = row;
    this.#nextRow = row;
  }

  /** Appends the next row. */
  push(value: T): void {
    this.#put(this.#nextRow, value);
    this.#nextRow++;
  }

  /** Frees the rows before this one; the rows from `firstRow` on stay. */
  freeBefore(row: number): void {
    const until = Math.min(row, this.#nextRow);
    while (this.#firstRow < until) {
      const chunk = Math.floor(this.#firstRow / chunkRows);
      const end = Math.min(until, (chunk + 1) * chunkRows);
      if (end === (chunk + 1) * chunkRows) this.#chunks.delete(chunk);
      else this.#chunks.get(chunk)?.fill(undefined, this.#firstRow % chunkRows, end % chunkRows);
      this.#firstRow = end;
    }
  }

  /** Takes the rows before its first one from a buffer that has them all. */
  prepend(before: RowBuffer<T>): void {
    for (let row = before.firstRow; row < this.#firstRow; row++) {
      const value = before.at(row);
      if (value !== undefined) this.#put(row, value);
    }
    this.#firstRow = Math.min(this.#firstRow, before.firstRow);
  }

  #put(row: number, value: T): void {
    const name = Math.floor(row / chunkRows);
    let chunk = this.#chunks.get(name);
    if (chunk === undefined) {
      chunk = [];
      this.#chunks.set(name, chunk);
    }
    chunk[row % chunkRows] = value;
  }
}
