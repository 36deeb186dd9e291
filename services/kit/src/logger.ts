import { pino } from "pino";

/** What a line of the log may carry besides its message. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log, one JSON object per line. Values under secret-looking keys never appear. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

interface LoggerOptions {
  /** Name of the service, in every line. */
  name: string;
  /** Lowest level that is written. @default "info" */
  level?: LogLevel;
  /** Where lines go. @default standard error */
  destination?: { write(line: string): void };
}

const SECRET_KEY = /(secret|token|password|passwd|authorization|dsn|credential|api_?key)$/i;
const DEPTH_MAX = 8;
const ITEMS_MAX = 200;
export const REDACTED = "[redacted]";

/**
 * A copy fit for the log: values under keys that end in secret, token, password, authorization, dsn,
 * credential or api key are replaced; errors become plain objects; bytes become their length.
 * Deeper than 8 levels, or past 200 items of one container, content is cut.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`;
  if (value === null || typeof value !== "object") return value;
  if (depth >= DEPTH_MAX) return "[cut]";
  if (value instanceof Date)
    return Number.isNaN(value.getTime()) ? "[no date]" : value.toISOString();
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Map) return redact(Object.fromEntries(value), depth);
  if (value instanceof Set) return redact([...value], depth);
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => redact(item, depth + 1));
  return redactEntries(Object.entries(value).slice(0, ITEMS_MAX), depth);
}

function redactEntries(entries: [string, unknown][], depth: number): Record<string, unknown> {
  return Object.fromEntries(
    entries.map(([key, item]) => [
      key,
      SECRET_KEY.test(key) && item !== undefined && item !== null
        ? REDACTED
        : redact(item, depth + 1),
    ]),
  );
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    ...redactEntries(Object.entries(error), depth),
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}

/** A logger that writes JSON lines with `time`, `level` (a word), `name`, `message` and the fields. */
export function createLogger(options: LoggerOptions): Logger {
  const base = pino(
    {
      level: options.level ?? "info",
      messageKey: "message",
      base: {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
  const from = (fixed: Record<string, unknown>): Logger => {
    const write = (level: "debug" | "info" | "warn" | "error") => {
      return (message: string, fields?: LogFields) => {
        if (!base.isLevelEnabled(level)) return;
        const own = fields === undefined ? {} : redactEntries(Object.entries(fields), 0);
        base[level]({ ...fixed, ...own }, message);
      };
    };
    return {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: (fields) => from({ ...fixed, ...redactEntries(Object.entries(fields), 0) }),
    };
  };
  return from({ name: options.name });
}

/** Writes nothing. For tests and for callers that were given no logger. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
