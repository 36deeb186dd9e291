import { type LogRule, parseLine, productRule } from "./queue-log-rules.ts";

/**
 * Exhaustive search over one key and one partition. Epochs are granted to any process at any moment (without a clock,
 * this includes every pause, drift and false expiry), no process checks its own lease (every old holder is a zombie for
 * ever), and whatever was sent may be appended at any later time, twice, in any order, or never. For every log reached,
 * readers start at every offset from a checkpoint there.
 */
export interface LogSearchConfig {
  readonly processes: number;
  readonly epochsMax: number;
  readonly rowsMax: number;
  readonly logMax: number;
  readonly crashes: number;
  /** Largest number of records per process that are sent and not yet appended. */
  readonly unsentMax: number;
  readonly rule: LogRule;
  /** Mutant: a holder reads the log as it is when the lease is granted, not up to its own START. */
  readonly readsBeforeStart: boolean;
  /** Mutant: after a crash the same epoch may be issued again. */
  readonly issuesEpochTwice: boolean;
  /** Mutant: compaction leaves only the last record of a row. */
  readonly compacts: boolean;
  /** The log refuses to append a record that would be void. */
  readonly checksAppend: boolean;
  /** Check only that readers agree (Q1); for rules that promise no more. */
  readonly readersOnly: boolean;
  readonly statesMax: number;
}

const BASE_LOG_SEARCH: LogSearchConfig = {
  processes: 2,
  epochsMax: 3,
  rowsMax: 3,
  logMax: 6,
  crashes: 1,
  unsentMax: 2,
  rule: productRule,
  readsBeforeStart: false,
  issuesEpochTwice: false,
  compacts: false,
  checksAppend: false,
  readersOnly: false,
  statesMax: 3_000_000,
};

interface Process {
  readonly epoch: number;
  readonly phase: "idle" | "claiming" | "active";
  readonly seq: number;
  readonly row: number;
  readonly history: string;
}

interface LogState {
  readonly epoch: number;
  readonly crashes: number;
  readonly log: readonly string[];
  readonly sent: readonly string[];
  readonly processes: readonly Process[];
}

/** Result of a search. */
export interface LogSearchResult {
  readonly violation: string | null;
  readonly states: number;
  readonly logs: number;
  readonly isCut: boolean;
}

const idle: Process = { epoch: 0, phase: "idle", seq: 0, row: 0, history: "" };

/** Runs the search and stops at the first violation of Q1, Q2, Q3, Q5 or Q6. */
export function searchLog(options: Partial<LogSearchConfig> = {}): LogSearchResult {
  const config = { ...BASE_LOG_SEARCH, ...options };
  const processes = Array.from({ length: config.processes }, () => idle);
  const first: LogState = { epoch: 0, crashes: config.crashes, log: [], sent: [], processes };
  const seen = new Set<string>([keyOf(first)]);
  const verdicts = new Map<string, string | null>();
  let front: LogState[] = [first];
  while (front.length > 0) {
    const found: LogState[] = [];
    for (const state of front) {
      for (const next of successors(state, config)) {
        const key = keyOf(next);
        if (seen.has(key)) continue;
        seen.add(key);
        found.push(next);
        if (next.log === state.log) continue;
        const logKey = next.log.join();
        let verdict = verdicts.get(logKey);
        if (verdict === undefined) {
          verdict = checkLog(next.log, config);
          verdicts.set(logKey, verdict);
        }
        if (verdict !== null) {
          return { violation: verdict, states: seen.size, logs: verdicts.size, isCut: false };
        }
      }
      if (seen.size > config.statesMax) {
        return { violation: null, states: seen.size, logs: verdicts.size, isCut: true };
      }
    }
    front = found;
  }
  return { violation: null, states: seen.size, logs: verdicts.size, isCut: false };
}

function keyOf(s: LogState): string {
  const of = (p: Process): string => `${p.epoch}${p.phase[0]}${p.seq}.${p.row}.${p.history}`;
  return `${s.epoch}${s.crashes}|${s.log.join()}|${s.sent.join()}|${s.processes.map(of).join(";")}`;
}

function successors(s: LogState, config: LogSearchConfig): LogState[] {
  const out: LogState[] = [];
  for (let p = 0; p < config.processes; p++)
    out.push(...grants(s, p, config), ...works(s, p, config));
  if (s.log.length >= config.logMax) return out;
  for (const line of s.sent) {
    if (s.log.filter((old) => old === line).length > 1) continue;
    if (config.checksAppend && !isAppendable(s, line, config)) continue;
    out.push({ ...s, log: [...s.log, line] });
  }
  return out;
}

/** The lease owner grants a higher epoch: it may declare a lease lapsed at any moment. */
function grants(s: LogState, p: number, config: LogSearchConfig): LogState[] {
  const process = s.processes[p]!;
  const isFree = process.phase === "idle" || process.epoch < s.epoch;
  const isInOrder = p === 0 || s.processes[p - 1]!.epoch > 0;
  if (!isFree || !isInOrder) return [];
  const epochs = [s.epoch + 1];
  if (config.issuesEpochTwice && s.epoch > 0 && s.crashes > 0) epochs.push(s.epoch);
  return epochs
    .filter((epoch) => epoch <= config.epochsMax)
    .map((epoch) => {
      const crashes = epoch === s.epoch ? s.crashes - 1 : s.crashes;
      const sent = send(s.sent, `S${epoch}`);
      const base = { ...s, epoch, crashes, sent };
      if (!config.readsBeforeStart) return put(base, p, { ...idle, epoch, phase: "claiming" });
      const at = config.rule.position(s.log, s.log.length);
      return put(base, p, { ...at, epoch, phase: "active" });
    });
}

/** A process sees its START, sends its next row, or crashes. */
function works(s: LogState, p: number, config: LogSearchConfig): LogState[] {
  const process = s.processes[p]!;
  if (process.phase === "claiming") {
    const start = s.log.indexOf(`S${process.epoch}`);
    if (start < 0) return [];
    const at = config.rule.position(s.log, start + 1);
    return [put(s, p, { ...at, epoch: process.epoch, phase: "active" })];
  }
  if (process.phase === "idle") return [];
  const out: LogState[] = [];
  const unsent = s.sent.filter(
    (line) =>
      line.startsWith("D") &&
      parseLine(line).record.epoch === process.epoch &&
      !s.log.includes(line),
  );
  if (process.row < config.rowsMax && unsent.length < config.unsentMax) {
    const line = `D${process.epoch}.${process.seq}.${process.row}.${p}.${process.history}`;
    const next = {
      ...process,
      seq: process.seq + 1,
      row: process.row + 1,
      history: process.history + p,
    };
    out.push(put({ ...s, sent: send(s.sent, line) }, p, next));
  }
  if (s.crashes > 0) out.push(put({ ...s, crashes: s.crashes - 1 }, p, idle));
  return out;
}

function put(s: LogState, p: number, process: Process): LogState {
  return { ...s, processes: s.processes.map((old, i) => (i === p ? process : old)) };
}

function send(sent: readonly string[], line: string): readonly string[] {
  return sent.includes(line) ? sent : [...sent, line].sort();
}

function isAppendable(s: LogState, line: string, config: LogSearchConfig): boolean {
  const before = config.rule.position(s.log, s.log.length);
  const after = config.rule.position([...s.log, line], s.log.length + 1);
  const { record } = parseLine(line);
  if (record.epoch < s.epoch) return false;
  return record.kind === "START" ? after.epoch > before.epoch : after.seq > before.seq;
}

/** Checks Q1, Q5: all readers agree; Q2, Q6: no gap; Q3: each value was built on the effective history. */
function checkLog(log: readonly string[], config: LogSearchConfig): string | null {
  const { rule } = config;
  const agreed = new Map<number, { feed: string; from: number }>();
  for (let from = 0; from <= log.length; from++) {
    for (const { row, feed } of rule.take(log, from)) {
      const other = agreed.get(row);
      if (other !== undefined && other.feed !== feed) {
        return `Q1: a reader from ${other.from} takes row ${row} of feed ${other.feed}, one from ${from} of feed ${feed}`;
      }
      if (other === undefined) agreed.set(row, { feed, from });
    }
  }
  const all = rule.take(log, 0);
  if (config.compacts) return checkCompacted(log, rule);
  if (config.readersOnly) return null;
  let history = "";
  for (const { row, feed, offset } of all) {
    if (row !== history.length) return `Q2: row ${row} where ${history.length} was due`;
    const built = parseLine(log[offset]!).history;
    if (built !== history)
      return `Q3: row ${row} was built on "${built}", the effective history is "${history}"`;
    history += feed;
  }
  return null;
}

function checkCompacted(log: readonly string[], rule: LogRule): string | null {
  const row = (line: string): number | undefined => parseLine(line).record.row;
  const isLast = (line: string, i: number): boolean =>
    line.startsWith("S") ||
    !log.slice(i + 1).some((later) => row(later) === row(line) && later.startsWith("D"));
  const compacted = log.filter(isLast);
  const [a, b] = [rule.take(log, 0).length, rule.take(compacted, 0).length];
  return a === b ? null : `Q1: ${b} records of the compacted log count, ${a} of the full one`;
}
