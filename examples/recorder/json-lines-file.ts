import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";

/** Largest number of lines kept in memory; more are written out. */
const linesMax = 256;

/** A file of JSON values, one per line. Replaces what is there; its folder is made. */
export class JsonLinesFile {
  readonly #path: string;
  #handle: FileHandle | undefined;
  #lines: string[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  async open(): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    this.#handle = await open(this.#path, "w");
  }

  /** Adds a line. Waits for the disk only when the buffer is full. */
  async write(value: object): Promise<void> {
    this.#lines.push(`${JSON.stringify(value)}\n`);
    if (this.#lines.length >= linesMax) await this.#flush();
  }

  /** Writes what is left and closes the file. May be called without `open` having succeeded. */
  async close(): Promise<void> {
    await this.#flush();
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #flush(): Promise<void> {
    const text = this.#lines.join("");
    this.#lines = [];
    await this.#handle?.write(text);
  }
}
