import {
  emptyFold,
  type FoldRule,
  type FoldState,
  foldStep,
  type QueueRecord,
} from "@qmtl/core/queues";

/**
 * One record of the model's log. As text, `S2` is START of epoch 2; `D2.1.1.0.ab` is a ROW of epoch 2, seq 1, row 1, by
 * feed 0, built on the effective history "ab". Feeds never agree, so every effective value shows which feed it is from
 * and on what it was built.
 */
export interface ModelRecord {
  readonly record: QueueRecord;
  readonly feed: string;
  readonly history: string;
}

const parsed = new Map<string, ModelRecord>();

/** Parses a line of the log. */
export function parseLine(line: string): ModelRecord {
  let found = parsed.get(line);
  if (found !== undefined) return found;
  if (line.startsWith("S")) {
    found = { record: { kind: "START", epoch: Number(line.slice(1)) }, feed: "", history: "" };
  } else {
    const [epoch = "", seq = "", row = "", feed = "", history = ""] = line.slice(1).split(".");
    const place = { epoch: Number(epoch), seq: Number(seq), row: Number(row) };
    found = { record: { kind: "ROW", ...place, rev: 0, knownAtMs: 0 }, feed, history };
  }
  parsed.set(line, found);
  return found;
}

/** One value that a reader takes: its row, the feed it is from, and its offset. */
interface Taken {
  readonly row: number;
  readonly feed: string;
  readonly offset: number;
}

/** Position of a process after reading a prefix: where it continues, and on which history. */
interface Position {
  readonly epoch: number;
  readonly seq: number;
  readonly row: number;
  readonly history: string;
}

/** How readers and holders read the log: the product's fold, or a seeded mutant. */
export interface LogRule {
  readonly name: string;
  /** What a reader that starts at `from` takes; it may have a checkpoint of the prefix before that. */
  readonly take: (log: readonly string[], from: number) => Taken[];
  /** Position of a process that has read the first `length` records. */
  readonly position: (log: readonly string[], length: number) => Position;
}

/** A rule whose readers fold from a checkpoint; `start` says what they keep of it, in the product all. */
function foldRule(
  name: string,
  step: FoldRule = foldStep,
  start: (checkpoint: FoldState, from: number) => FoldState = (checkpoint) => checkpoint,
): LogRule {
  const foldTo = (log: readonly string[], length: number): [FoldState, string] => {
    const state = emptyFold();
    let history = "";
    for (const line of log.slice(0, length)) {
      const { record, feed } = parseLine(line);
      if (step(state, record) === null) history += feed;
    }
    return [state, history];
  };
  return {
    name,
    take: (log, from) => {
      const state = start(foldTo(log, from)[0], from);
      const out: Taken[] = [];
      for (let offset = from; offset < log.length; offset++) {
        const { record, feed } = parseLine(log[offset]!);
        if (step(state, record) !== null || record.kind !== "ROW") continue;
        out.push({ row: record.row ?? -1, feed, offset });
      }
      return out;
    },
    position: (log, length) => {
      const [state, history] = foldTo(log, length);
      return { epoch: state.epoch, seq: state.seq, row: state.nextRow, history };
    },
  };
}

/** The product's rule. */
export const productRule = foldRule("the product's fold");

/** Mutant: records of an epoch below the highest seen are dropped; the first or the last value wins. */
export function highestEpochSeen(wins: "first" | "last"): LogRule {
  const take = (log: readonly string[], from: number): Taken[] => {
    let highest = 0;
    const seen = new Set<number>();
    const out: Taken[] = [];
    for (let offset = from; offset < log.length; offset++) {
      const { record, feed } = parseLine(log[offset]!);
      if (record.kind !== "ROW" || record.epoch < highest) continue;
      highest = record.epoch;
      const row = record.row ?? -1;
      if (wins === "first" && seen.has(row)) continue;
      seen.add(row);
      out.push({ row, feed, offset });
    }
    return out;
  };
  return {
    name: `highest epoch seen, ${wins} value wins`,
    take,
    position: (log, length) => {
      const taken = take(log.slice(0, length), 0);
      const values = new Map(taken.map((one) => [one.row, one.feed]));
      let history = "";
      while (values.has(history.length)) history += values.get(history.length) ?? "";
      return { epoch: 0, seq: history.length, row: history.length, history };
    },
  };
}

/** Mutant: decides by the highest epoch of the prefix and the next row, and ignores START. */
export const nextRowWithoutStart: LogRule = (() => {
  const run = (log: readonly string[], from: number, length: number) => {
    const out: Taken[] = [];
    let highest = 0;
    let row = 0;
    let history = "";
    for (let offset = 0; offset < length; offset++) {
      const { record, feed } = parseLine(log[offset]!);
      if (record.kind !== "ROW" || record.epoch < highest) continue;
      highest = record.epoch;
      if (record.row !== row) continue;
      row += 1;
      history += feed;
      if (offset >= from) out.push({ row: row - 1, feed, offset });
    }
    return { out, position: { epoch: highest, seq: row, row, history } };
  };
  return {
    name: "next row without START",
    take: (log, from) => run(log, from, log.length).out,
    position: (log, length) => run(log, 0, length).position,
  };
})();

/** Mutant: a reader of a trimmed log starts with an empty fold and trusts the first record it meets. */
export const blankOnTrimmedLog: LogRule = {
  ...foldRule("blank fold on a trimmed log"),
  take: (log, from) => {
    let state: FoldState | null = from === 0 ? emptyFold() : null;
    const out: Taken[] = [];
    for (let offset = from; offset < log.length; offset++) {
      const { record, feed } = parseLine(log[offset]!);
      if (state === null && record.kind === "ROW") {
        state = {
          ...emptyFold(),
          epoch: record.epoch,
          seq: record.seq ?? 0,
          nextRow: record.row ?? 0,
        };
      }
      if (state === null || foldStep(state, record) !== null || record.kind !== "ROW") continue;
      out.push({ row: record.row ?? -1, feed, offset });
    }
    return out;
  },
};

/** Mutant: a reader resumes with its position but takes the epoch from the first record it meets. */
export const resumeWithoutEpoch: LogRule = foldRule(
  "resume with the position but without the epoch",
  (state, record) => {
    if (state.epoch === -1 && record.kind === "ROW") state.epoch = record.epoch;
    return foldStep(state, record);
  },
  (checkpoint, from) => (from === 0 ? checkpoint : { ...checkpoint, epoch: -1 }),
);
