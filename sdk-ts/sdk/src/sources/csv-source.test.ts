import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import {
  CsvError,
  CsvSource,
  type CsvSourceOptions,
  parseInterval,
  parseTimeText,
} from "./index.ts";
import { parseDecimal } from "./parse-decimal.ts";

const spx = fileURLToPath(
  new URL("../../../../node_modules/vega-datasets/data/sp500-2000.csv", import.meta.url),
);
const folder = mkdtempSync(join(tmpdir(), "csv-source-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function csv(text: string, options: Partial<CsvSourceOptions> = {}): CsvSource {
  const path = join(folder, `${files++}.csv`);
  writeFileSync(path, text);
  return new CsvSource({ path, interval: "1d", ...options });
}

async function refusal(source: CsvSource): Promise<CsvError> {
  const error: unknown = await source.load().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof CsvError) return error;
  throw new Error(`not refused: ${String(error)}`);
}

describe("a file of daily bars", () => {
  test("the S&P 500 has 5,105 rows, each known a day after it opened", async () => {
    const table = await new CsvSource({ path: spx, interval: "1d" }).load();

    expect(table.rows).toBe(5_105);
    expect([...table.columns.keys()]).toEqual([
      "open",
      "high",
      "low",
      "close",
      "adjclose",
      "volume",
    ]);
    expect(table.openTimeMs[0]).toBe(Date.UTC(2000, 0, 3));
    expect(table.bucketEndMs[0]).toBe(Date.UTC(2000, 0, 4));
    expect(table.openTimeMs.at(-1)).toBe(Date.UTC(2020, 3, 17));
    expect(table.columns.get("close")?.[0]).toBe(1455.219971);
    expect(table.columns.get("volume")?.[1]).toBe(1_009_000_000);
  });

  test("from and until are inclusive", async () => {
    const table = await new CsvSource({
      path: spx,
      interval: "1d",
      from: "2015-01-02",
      until: "2016-12-30",
      columns: ["close"],
    }).load();

    expect(table.rows).toBe(504);
    expect([...table.columns.keys()]).toEqual(["close"]);
    expect(table.openTimeMs[0]).toBe(Date.UTC(2015, 0, 2));
    expect(table.openTimeMs.at(-1)).toBe(Date.UTC(2016, 11, 30));
    expect(table.columns.get("close")).toHaveLength(504);
  });

  test("a cell of NaN, as programs write it, is no value like an empty one, and any other text is told how to be left out", async () => {
    const table = await csv("date,c\n2020-01-01,NaN\n2020-01-02,nan\n2020-01-03,1\n").load();

    expect([...table.columns.get("c")!]).toEqual([Number.NaN, Number.NaN, 1]);
    const text = await refusal(csv("date,c\n2020-01-01,n/a\n"));
    expect(text.message).toContain(
      "is not a number; leave a text column out with columns: of the source, and a cell without a value empty",
    );
  });

  test("empty cells are NaN; CRLF, quotes, blanks, BOM and a missing last newline are fine", async () => {
    const table = await csv(
      '\ufeff"Date", Close ,x\r\n2020-01-01,,1e3\r\n\r\n"2020-01-02", -2.50 ,"7"',
    ).load();

    expect(table.rows).toBe(2);
    expect([...table.columns.get("Close")!]).toEqual([Number.NaN, -2.5]);
    expect([...table.columns.get("x")!]).toEqual([1000, 7]);
  });

  test("times may be RFC 3339 or epoch milliseconds", async () => {
    const rfc = await csv("time,c\n2020-01-01T00:00:00Z,1\n2020-01-01T02:00:00.5+01:00,2\n", {
      interval: "1h",
    }).load();
    const epoch = await csv("timestamp,c\n1577836800000,1\n", { interval: 60 }).load();

    expect([...rfc.openTimeMs]).toEqual([1577836800000, 1577840400500]);
    expect(epoch.bucketEndMs[0]).toBe(1577836860000);
  });
});

describe("a bad file is refused whole", () => {
  test.each([
    [
      "CSV_BAD_ROW",
      "date,c\n2020-01-01,1\n2020-01-02,abc\n",
      { line: 3, column: "c", value: "abc" },
    ],
    ["CSV_BAD_ROW", "date,c\n2020-02-30,1\n", { line: 2, column: "date", value: "2020-02-30" }],
    ["CSV_BAD_ROW", "date,c\n2020-01-01T00:00:00,1\n", { line: 2, column: "date" }],
    ["CSV_BAD_ROW", "date,c\n2020-01-01\n", { line: 2, value: "2020-01-01" }],
    ["CSV_BAD_ROW", "date,c\n2020-01-01,1,2\n", { line: 2 }],
    ["CSV_BAD_ROW", "date,c\n2020-01-01,0x10\n", { value: "0x10" }],
    ["CSV_BAD_ROW", "date,c\n2020-01-01,Infinity\n", { value: "Infinity" }],
    ["CSV_BAD_ROW", "date,c\n2020-01-01,-\n", { value: "-" }],
    ["CSV_BAD_ROW", "date,c,C\n2020-01-01,1,2\n", { line: 1 }],
    ["CSV_UNSORTED", "date,c\n2020-01-02,1\n2020-01-01,1\n", { line: 3, value: "2020-01-01" }],
    ["CSV_DUPLICATE_TIME", "date,c\n2020-01-01,1\n2020-01-01,1\n", { line: 3 }],
    ["CSV_MISSING_COLUMN", "day,c\n2020-01-01,1\n", { line: 1 }],
    ["CSV_BAD_ROW", "date,c\n1577836800,1\n", { line: 2, value: "1577836800" }],
    ["CSV_EMPTY", "", {}],
    ["CSV_EMPTY", "date,c\n", {}],
  ])("%s %j", async (reason, text, place) => {
    expect(await refusal(csv(text))).toMatchObject({ reason, ...place });
  });

  test("a wanted column that is not there is named, and so are those that are", async () => {
    const error = await refusal(csv("date,c\n2020-01-01,1\n", { columns: ["close"] }));

    expect(error).toMatchObject({ reason: "CSV_MISSING_COLUMN", column: "close" });
    expect(error.message).toContain("date, c");
  });

  test.each([
    [
      "day,c\n2020-01-01,1\n",
      "no time column (date, time, timestamp, datetime, open_time); it has day, c",
    ],
    ["date;c\n2020-01-01;1\n", 'fields are separated by commas, not by ";"'],
    ["date\tc\n2020-01-01\t1\n", 'fields are separated by commas, not by "\\t"'],
    ["\ufeffdate,c\n2020-01-01 00:00:00,1\n", "an RFC 3339 time with zone (2020-01-02T15:30:00Z)"],
    ["date,note\n2020-01-01,hello\n", "leave a text column out with columns: of the source"],
  ])("%j is told with what to write", async (text, told) => {
    expect((await refusal(csv(text))).message).toContain(told);
  });

  test("a file with old line ends, or in UTF-16, does not fill the screen", async () => {
    const old = await refusal(csv(`date,c${"\r2020-01-01,1".repeat(1_000)}\n2020-01-02,1\n`));
    const wide = join(folder, "wide.csv");
    writeFileSync(wide, Buffer.from("\ufeffdate,c\n2020-01-01,1\n", "utf16le"));
    const utf16 = await refusal(new CsvSource({ path: wide, interval: "1d" }));

    expect(old.message.length).toBeLessThan(1_200);
    expect(utf16.message).toContain("is UTF-16; save it as UTF-8");
  });

  test("bars shorter than the interval are refused; an hour lost to a change of clocks is not", async () => {
    const minutes = ["00:00", "00:01", "00:02"].map((time) => `2020-01-01T${time}:00Z,1\n`);
    const summer = ["28T00:00:00+01:00", "29T00:00:00+01:00", "30T00:00:00+02:00"];
    const days = summer.map((time) => `2020-03-${time},1\n`);

    const error = await refusal(csv(`time,c\n${minutes.join("")}`));

    expect(error.reason).toBe("CSV_INTERVAL");
    expect(error.message).toContain(
      "as little as 60 s after its open; the interval given is 1d; give interval: 1m",
    );
    expect((await csv(`time,c\n${days.join("")}`).load()).rows).toBe(3);
  });

  test("the time column may be named as exchanges and data frames name it", async () => {
    const table = await csv("open_time,c\n1577836800000,1\n").load();

    expect([...table.columns.keys()]).toEqual(["c"]);
    expect(table.openTimeMs[0]).toBe(1577836800000);
  });

  test("bad rows outside the range count, too", async () => {
    const source = csv("date,c\n2020-01-01,1\n2020-01-02,x\n", { until: "2020-01-01" });

    expect((await refusal(source)).reason).toBe("CSV_BAD_ROW");
  });
});

describe("numbers and times", () => {
  const parsed = (text: string) => parseDecimal(Buffer.from(text), 0, text.length);

  test("agree with Number() to the bit on any decimal", () => {
    const decimal = fc.stringMatching(/^-?\d{1,20}(\.\d{1,25})?([eE][+-]?\d{1,3})?$/);
    fc.assert(
      fc.property(decimal, (text) => Object.is(parsed(text), Number(text))),
      { seed: 4, numRuns: 5_000 },
    );
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) =>
        Object.is(parsed(String(value)), Number(String(value))),
      ),
      { seed: 5, numRuns: 5_000 },
    );
    for (const text of ["0", "-0", ".5", "5.", "1.", "00012.500", "0.000000000000000000000001"]) {
      expect(parsed(text), text).toBe(Number(text));
    }
    for (const text of [".", "-.", "1..2", "1_0", "--1", "1e", "NaN", "+"])
      expect(parsed(text), text).toBeNaN();
  });

  test("dates agree with Date on every day of four centuries and some more", () => {
    for (let ms = Date.UTC(1899, 0, 1); ms < Date.UTC(2320, 0, 1); ms += 86_400_000 * 7) {
      const text = new Date(ms).toISOString().slice(0, 10);
      expect(parseTimeText(text)).toBe(ms);
    }
    for (const text of [
      "1900-02-29",
      "2021-02-29",
      "2020-13-01",
      "2020-00-10",
      "2020-04-31",
      "20200101",
      "x",
    ]) {
      expect(parseTimeText(text), text).toBeNaN();
    }
    expect(parseTimeText("2000-02-29")).toBe(Date.UTC(2000, 1, 29));
  });

  test("intervals", () => {
    expect([60, "60", "60s", "1m", "1h", "1d"].map(parseInterval)).toEqual([
      60, 60, 60, 60, 3600, 86400,
    ]);
    expect(["1w", "7d", "604800", "5d"].map(parseInterval)).toEqual([
      604_800, 604_800, 604_800, 432_000,
    ]);
    for (const bad of [0, -1, 1.5, "", "2w", "1M", "d", "2d", "367d", 2_629_746])
      expect(() => parseInterval(bad)).toThrow(RangeError);
  });
});

describe("the fingerprint", () => {
  test("changes with the bytes and the options, and only with them", async () => {
    const text = "date,c\n2020-01-01,1\n2020-01-02,2\n";
    const prints = await Promise.all(
      [
        csv(text),
        csv(text),
        csv(text.replace("2\n", "3\n")),
        csv(text, { until: "2020-01-01" }),
        csv(text, { interval: "1h" }),
      ].map((one) => one.datasetFingerprint()),
    );

    expect(prints[0]).toBe(prints[1]);
    expect(new Set(prints).size).toBe(4);
    expect(prints[0]).toMatch(/^blake3:[0-9a-f]{64}$/);
  });
});

test("300,000 rows are read in well under ten seconds", async () => {
  const lines = ["timestamp,open,high,low,close,volume"];
  for (let row = 0; row < 300_000; row++) {
    const price = (100 + (row % 977) / 7).toFixed(6);
    lines.push(`${1_500_000_000_000 + row * 60_000},${price},${price},${price},${price},${row}`);
  }
  const source = csv(lines.join("\n"), { interval: "1m" });
  const started = process.cpuUsage().user;
  const table = await source.load();

  expect(table.rows).toBe(300_000);
  expect(table.columns.get("close")?.[976]).toBe(Number((100 + 976 / 7).toFixed(6)));
  expect((process.cpuUsage().user - started) / 1e6).toBeLessThan(10);
});
