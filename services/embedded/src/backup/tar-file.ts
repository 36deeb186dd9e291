import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { BackupError } from "./backup-error.ts";
import { damaged } from "./manifest.ts";

/** One file of an archive, whole in memory. */
export interface TarEntry {
  readonly name: string;
  readonly content: Buffer;
}

/** Largest entry, bytes; a reader holds one at a time. */
const entryBytesMax = 256 * 1024 * 1024;
/** Most entries of one archive. */
const entriesMax = 1_000_000;
const nameBytesMax = 100;
const block = 512;

/** Writes entries as a gzipped tar (ustar) that only its owner can read, as fast as the disk takes them. */
export async function writeTar(
  path: string,
  entries: AsyncIterable<TarEntry>,
  signal: AbortSignal,
): Promise<void> {
  const file = createWriteStream(path, { flags: "wx", mode: 0o600, flush: true });
  await pipeline(blocksOf(entries), createGzip(), file, { signal });
}

async function* blocksOf(entries: AsyncIterable<TarEntry>): AsyncGenerator<Buffer> {
  for await (const { name, content } of entries) {
    yield headerOf(name, content.length);
    yield content;
    yield Buffer.alloc(paddingOf(content.length));
  }
  yield Buffer.alloc(2 * block);
}

function headerOf(name: string, size: number): Buffer {
  if (size > entryBytesMax || Buffer.byteLength(name) > nameBytesMax) {
    throw new RangeError(`entry ${name} of ${size} bytes, at most ${entryBytesMax}`);
  }
  const header = Buffer.alloc(block);
  header.write(name, 0);
  header.write("0000600\0", 100);
  header.write("0000000\0".repeat(2), 108);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write(" ".repeat(8), 148);
  header.write("0", 156);
  header.write("ustar\u000000", 257);
  header.write(`${checksumOf(header).toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/**
 * The entries of a gzipped tar, one at a time.
 * @throws {BackupError} FILE_UNUSABLE; BACKUP_DAMAGED where it is cut off or not what `writeTar` writes.
 */
export async function* readTar(path: string): AsyncGenerator<TarEntry> {
  const source = new ByteSource(path);
  try {
    for (let count = 0; ; count += 1) {
      const header = await source.take(block);
      if (header.every((byte) => byte === 0)) break;
      if (count >= entriesMax) throw damaged(`more than ${entriesMax} entries`);
      const { name, size } = parseHeader(header);
      const content = await source.take(size);
      await source.take(paddingOf(size));
      yield { name, content };
    }
    await source.takeEnd();
  } finally {
    source.close();
  }
}

function parseHeader(header: Buffer): { name: string; size: number } {
  const text = (from: number, length: number) =>
    header.toString("utf8", from, from + length).replace(/\0.*$/s, "");
  const sum = Number.parseInt(text(148, 7), 8);
  const blank = Buffer.from(header);
  blank.write(" ".repeat(8), 148);
  const size = Number.parseInt(text(124, 12), 8);
  const isPlain = text(257, 5) === "ustar" && text(156, 1) === "0";
  if (sum !== checksumOf(blank) || !isPlain || !(size >= 0 && size <= entryBytesMax)) {
    throw damaged("the header of an entry is wrong");
  }
  return { name: text(0, nameBytesMax), size };
}

function checksumOf(header: Buffer): number {
  return header.reduce((sum, byte) => sum + byte, 0);
}

function paddingOf(size: number): number {
  return (block - (size % block)) % block;
}

/** What is in a gzipped file, taken in pieces of a known length. */
class ByteSource {
  readonly #input;
  readonly #gunzip = createGunzip();
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#input = createReadStream(path);
    this.#input.on("error", (cause) => this.#gunzip.destroy(unusable(cause)));
    this.#chunks = this.#input.pipe(this.#gunzip)[Symbol.asyncIterator]();
  }

  async take(length: number): Promise<Buffer> {
    const pieces = [this.#rest];
    let have = this.#rest.length;
    while (have < length) {
      const chunk = await this.#next();
      if (chunk === undefined) throw damaged("it is cut off");
      pieces.push(chunk);
      have += chunk.length;
    }
    const all = pieces.length === 1 ? this.#rest : Buffer.concat(pieces, have);
    this.#rest = all.subarray(length);
    return all.subarray(0, length);
  }

  /** Only zeros may follow. */
  async takeEnd(): Promise<void> {
    for (let chunk: Buffer | undefined = this.#rest; chunk; chunk = await this.#next()) {
      if (chunk.some((byte) => byte !== 0)) throw damaged("something follows its end");
    }
  }

  close(): void {
    this.#input.destroy();
    this.#gunzip.destroy();
  }

  async #next(): Promise<Buffer | undefined> {
    try {
      const { done, value } = await this.#chunks.next();
      return done === true ? undefined : value;
    } catch (cause) {
      if (cause instanceof BackupError) throw cause;
      throw damaged(cause instanceof Error ? cause.message : "it cannot be unpacked", cause);
    }
  }
}

function unusable(cause: Error): BackupError {
  return new BackupError("FILE_UNUSABLE", `the backup cannot be read: ${cause.message}`, cause);
}
