export type { BarSource, BarTable } from "./bar-source.ts";
export { CsvError, type CsvErrorPlace, type CsvErrorReason } from "./csv-error.ts";
export { CsvSource, type CsvSourceOptions, csvBytesMax } from "./csv-source.ts";
export { parseInterval } from "./parse-interval.ts";
export { parseTimeText } from "./parse-time.ts";
