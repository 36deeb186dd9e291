export type { BarSource, BarTable } from "./bar-source.ts";
export { CsvError, type CsvErrorReason } from "./csv-error.ts";
export { CsvSource, type CsvSourceOptions } from "./csv-source.ts";
export { parseInterval } from "./parse-interval.ts";
export {
  limitOption,
  parseTimeText,
  type RowsLimit,
  rowsBefore,
  timeOption,
} from "./parse-time.ts";
