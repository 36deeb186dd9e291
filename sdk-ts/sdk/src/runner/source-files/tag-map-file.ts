import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { QueueDescriptor } from "@qmtl/contracts/qmtl/graph/v1/graph_pb";
import { jcs, nodeIdsCrc32 } from "@qmtl/core/canonical";
import { z } from "zod";
import type { TagQueryNode } from "../../strategy/index.ts";

const entrySchema = z.strictObject({
  queue: z.string(),
  node_id: z.string(),
  source: z.string(),
  columns: z.int().min(0),
});

const fileSchema = z.strictObject({
  version: z.literal(1),
  mappings: z.record(z.string(), z.array(entrySchema).max(1_000)),
  crc32: z.int().min(0).max(0xffff_ffff),
});

/** A queue as the file stores it. */
type TagMapEntry = z.infer<typeof entrySchema>;
type Mappings = z.infer<typeof fileSchema>["mappings"];

/** Largest number of queries in the file; the one written longest ago is dropped. */
const tagMapQueriesMax = 1_000;

interface AskedQuery {
  readonly node: TagQueryNode;
  readonly intervalSeconds: number;
}

/**
 * The queues that tag queries found last, in a file: online runs write it, offline runs read it.
 *
 * `{version: 1, mappings: {"tags|interval|mode": [{queue, node_id, source, columns}]}, crc32}`, tags sorted and joined
 * by a comma, the interval in seconds. `crc32` is that of zlib, continued over the UTF-8 bytes of each key and each of
 * its queues as canonical JSON, in the order of the keys. A file with a wrong checksum is not used.
 */
export class TagMapFile {
  readonly #path: string;
  readonly #onProblem: (problem: string) => void;

  constructor(path: string, onProblem: (problem: string) => void) {
    this.#path = path;
    this.#onProblem = onProblem;
  }

  /** Queues that a query found last; undefined if the file has none for it. */
  get(query: AskedQuery): readonly TagMapEntry[] | undefined {
    return this.#read()[keyOf(query)];
  }

  /** Stores the queues that a query found. A failure to write the file is reported, and the run continues. */
  put(query: AskedQuery, queues: readonly QueueDescriptor[]): void {
    const mappings = this.#read();
    const key = keyOf(query);
    delete mappings[key];
    for (const old of Object.keys(mappings)) {
      if (Object.keys(mappings).length < tagMapQueriesMax) break;
      delete mappings[old];
    }
    mappings[key] = queues.map(({ queue, nodeId, source, columns }) => {
      return { queue, node_id: nodeId, source, columns: columns.length };
    });
    const text = `${JSON.stringify({ version: 1, mappings, crc32: tagMapCrc32(mappings) })}\n`;
    const draft = `${this.#path}.${process.pid}.tmp`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      writeFileSync(draft, text);
      renameSync(draft, this.#path);
    } catch (failure) {
      this.#onProblem(`the tag map ${this.#path} is not written: ${String(failure)}`);
    }
  }

  #read(): Mappings {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch {
      return {}; // not there yet
    }
    try {
      const { mappings, crc32 } = fileSchema.parse(JSON.parse(text));
      if (tagMapCrc32(mappings) === crc32) return mappings;
      this.#onProblem(`the tag map ${this.#path} is ignored: its checksum is wrong`);
    } catch (failure) {
      this.#onProblem(`the tag map ${this.#path} is ignored: ${String(failure)}`);
    }
    return {};
  }
}

/** Checksum over all mappings; see {@link TagMapFile}. */
export function tagMapCrc32(mappings: Readonly<Record<string, readonly TagMapEntry[]>>): number {
  const keys = Object.keys(mappings).sort();
  return nodeIdsCrc32(
    keys.flatMap((key) => [key, ...(mappings[key] ?? []).map((one) => jcs(one))]),
  );
}

function keyOf({ node, intervalSeconds }: AskedQuery): string {
  return `${node.queryTags.join(",")}|${intervalSeconds}|${node.matchMode}`;
}
