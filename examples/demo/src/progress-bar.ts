/** Where a bar is drawn. Nothing is drawn unless it is a terminal. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const CELLS = 24;

/** One line that is drawn over and over, at most once per percent. */
export class ProgressBar {
  readonly #stream: ProgressStream;
  #drawn = -1;
  #label = "";

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  /** @param share done, 0…1 */
  show(share: number, label: string): void {
    const percent = Math.floor(Math.min(1, Math.max(0, share)) * 100);
    if (this.#stream.isTTY !== true || (percent === this.#drawn && label === this.#label)) return;
    this.#drawn = percent;
    this.#label = label;
    const filled = Math.round((percent / 100) * CELLS);
    const bar = "█".repeat(filled).padEnd(CELLS, "░");
    this.#stream.write(`\r\u001b[K${bar} ${String(percent).padStart(3)} % ${label}`);
  }

  clear(): void {
    if (this.#stream.isTTY === true) this.#stream.write("\r\u001b[K");
  }
}
