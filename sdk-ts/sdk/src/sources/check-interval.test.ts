import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { CsvSource, type CsvSourceOptions } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "check-interval-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function source(days: readonly string[], options: Partial<CsvSourceOptions>): CsvSource {
  const path = join(folder, `${files++}.csv`);
  writeFileSync(path, `date,c\n${days.map((day, k) => `${day},${k}\n`).join("")}`);
  return new CsvSource({ path, interval: "1d", ...options });
}

const weeks = ["2024-01-29", "2024-02-05", "2024-02-12", "2024-02-19", "2024-02-26", "2024-03-04"];
const months = ["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01"];
const quarters = ["2023-01-01", "2023-04-01", "2023-07-01", "2023-10-01", "2024-01-01"];
const fridays = ["2024-02-02", "2024-02-09", "2024-02-16", "2024-02-23", "2024-03-01"];
const hours = ["00", "04", "08", "12", "16"].map((hour) => `2024-03-04T${hour}:00:00Z`);

const endsOf = async (days: readonly string[], options: Partial<CsvSourceOptions>) => {
  const { bucketEndMs } = await source(days, options).load();
  return Array.from(bucketEndMs, (ms) => new Date(ms).toISOString().slice(0, 16));
};

describe("an interval shorter than the pace of the file is refused with the one that fits", () => {
  test.each([
    [weeks, "1d", "give interval: 1w (known on Sunday, 24:00Z), or 5d if its market rests"],
    [months, "1d", "give interval: 1mo, or sparse: true"],
    [quarters, "1d", "give interval: 1q, or sparse: true"],
    [hours, "1h", "give interval: 4h, or sparse: true"],
    [fridays, "1d", "give sparse: true if bars come only now and then"],
  ])("%s declared %s", async (days, interval, advice) => {
    const refusal = source(days, { interval }).load();

    await expect(refusal).rejects.toMatchObject({ reason: "CSV_INTERVAL" });
    await expect(refusal).rejects.toThrow("most bars open later than the previous bar would have");
    await expect(refusal).rejects.toThrow(advice);
  });

  test("weekends, holidays and files of a few bars are no pace", async () => {
    const around = ["2024-03-28", "2024-04-02", "2024-04-03", "2024-04-05", "2024-04-08"];

    expect((await source(["2024-03-01", "2024-03-04"], {}).load()).rows).toBe(2);
    expect((await source(around, {}).load()).rows).toBe(5);
  });

  test("minutes of which most have no trade are minutes all the same", async () => {
    const minutes = [0, 1, 4, 5, 9, 12, 20, 21, 27].map((minute) => `2024-03-04T00:0${minute}:00Z`);
    const times = minutes.map((text) => text.replace(/:0(\d\d):/, ":$1:"));

    expect((await source(times, { interval: "1m" }).load()).rows).toBe(9);
  });

  test("rows outside the range count, too", async () => {
    const two = source(weeks, { from: "2024-02-19" });

    await expect(two.load()).rejects.toMatchObject({ reason: "CSV_INTERVAL" });
  });
});

describe("a bar of a calendar interval is known at the true end of its period", () => {
  test("a week ends on Sunday, that of a market that rests at weekends on Friday", async () => {
    expect((await endsOf(weeks, { interval: "1w" })).at(-1)).toBe("2024-03-11T00:00");
    expect((await endsOf(weeks, { interval: "5d" })).at(-1)).toBe("2024-03-09T00:00");
  });

  test("months, quarters and years end at the first of the next", async () => {
    expect(await endsOf(months, { interval: "1mo" })).toEqual([
      "2023-12-01T00:00",
      "2024-01-01T00:00",
      "2024-02-01T00:00",
      "2024-03-01T00:00",
      "2024-04-01T00:00",
      "2024-05-01T00:00",
    ]);
    expect((await endsOf(quarters, { interval: "1q" })).at(-1)).toBe("2024-04-01T00:00");
    expect(await endsOf(["2023-01-01", "2024-01-01"], { interval: "1y" })).toEqual([
      "2024-01-01T00:00",
      "2025-01-01T00:00",
    ]);
  });

  test.each([
    [
      fridays,
      "1w",
      "labelled by the Monday of their week, 00:00Z, but one is labelled 2024-02-02, a Friday; give interval: 1d with sparse: true",
    ],
    [
      weeks,
      "1mo",
      "the first day of their month, 00:00Z, but one is labelled 2024-01-29, a Monday; give interval: 1w",
    ],
    [months, "1q", "but one is labelled 2023-11-01, a Wednesday; give interval: 1mo"],
    [months, "1w", "give interval: 1mo"],
  ])("%s are no bars of %s", async (days, interval, message) => {
    await expect(source(days, { interval }).load()).rejects.toThrow(message);
  });

  test("weeks of which most are missing are refused", async () => {
    const fourth = ["2024-01-01", "2024-01-29", "2024-02-26", "2024-03-25"];

    await expect(source(fourth, { interval: "1w" }).load()).rejects.toThrow("shorter than they");
  });

  test("they have no continuous schedule", () => {
    const schedule = "continuous";

    expect(() => source(months, { interval: "1mo", schedule })).toThrow("no continuous schedule");
    expect(() => source(hours, { interval: "1h", sparse: true, schedule })).toThrow(
      "no continuous",
    );
  });
});

describe("a bar of a sparse source is known when the next one opens", () => {
  test("and the last one, whose end nothing states, is left out", async () => {
    const table = await source(fridays, { sparse: true }).load();

    expect(table.rows).toBe(4);
    expect([...table.bucketEndMs]).toEqual(fridays.slice(1).map((day) => Date.parse(day)));
    expect([...table.columns.get("c")!]).toEqual([0, 1, 2, 3]);
  });

  test("also the last one of a range, whose end the next row states", async () => {
    const options = { sparse: true, from: "2024-02-09", until: "2024-02-16" };
    const table = await source(fridays, options).load();

    expect([...table.columns.get("c")!]).toEqual([1, 2]);
    expect([...table.bucketEndMs]).toEqual(["2024-02-16", "2024-02-23"].map(Date.parse));
  });

  test("an interval longer than the pace is refused all the same", async () => {
    await expect(source(hours, { sparse: true }).load()).rejects.toThrow("give interval: 4h");
  });

  test("its fingerprint is another one", async () => {
    const prints = [{}, { sparse: false }, { sparse: true }].map((options) =>
      source(fridays, options).datasetFingerprint(),
    );
    const [plain, stated, sparse] = await Promise.all(prints);

    expect(stated).toBe(plain);
    expect(sparse).not.toBe(plain);
  });
});
