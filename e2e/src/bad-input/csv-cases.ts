import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { QmtlCommand } from "../../../examples/demo/src/qmtl-command.ts";
import { type BadInputStack, FEED_HEADER, feedRows } from "./bad-input-stack.ts";
import { commandRefusal } from "./refusals.ts";

const CONFIG = `
sources: {day: {file: feed.csv, interval: 1d}}
instruments: {X: {lot: "0.1", mark_source: day}}
accounts: {main: {instruments: [X]}}
`;

const swapped = (rows: readonly string[]): string[] => rows.with(3, rows[4]!).with(4, rows[3]!);

interface Case {
  readonly what: string;
  readonly change: (rows: string[]) => string[];
  readonly told: {
    readonly reason: string;
    readonly line: number;
    readonly column?: string;
    readonly value?: string;
  };
  /** Reported by a submission, not by a backtest. */
  readonly isOnline?: boolean;
}

const CASES: readonly Case[] = [
  {
    what: "a row whose number cannot be read",
    change: (rows: string[]) => rows.with(3, rows[3]!.replace(/,[^,]+$/, ",1o5")),
    told: { reason: "CSV_BAD_ROW", line: 5, column: "close", value: "1o5" },
  },
  {
    what: "a row with a value missing",
    change: (rows: string[]) => rows.with(3, rows[3]!.replace(/,[^,]+$/, "")),
    told: { reason: "CSV_BAD_ROW", line: 5 },
  },
  {
    what: "unsorted times",
    isOnline: true,
    change: swapped,
    told: { reason: "CSV_UNSORTED", line: 6, value: "2020-01-04" },
  },
  {
    what: "the same time twice",
    change: (rows: string[]) => rows.toSpliced(4, 0, rows[3]!),
    told: { reason: "CSV_DUPLICATE_TIME", line: 6, value: "2020-01-04" },
  },
];

/** Files of bars that must be refused whole, offline and before anything is sent. */
export function csvCases(at: () => BadInputStack): void {
  describe("a CSV file with", () => {
    test.each(CASES)(
      "$what is refused with its place, exit code 2",
      async ({ change, told, isOnline = false }) => {
        const folder = join(at().stack.folder, `csv-${told.reason}-${told.value ?? "none"}`);
        await mkdir(folder);
        await writeFile(join(folder, "qmtl.yml"), CONFIG);
        const rows = change(feedRows(30));
        await writeFile(join(folder, "feed.csv"), `${FEED_HEADER}\n${rows.join("\n")}\n`);
        const qmtl = new QmtlCommand(join(folder, "qmtl.yml"), folder);
        const strategy = join(at().stack.folder, "idler.ts");
        const before = await at().stored();

        const file = join(folder, "feed.csv");
        const { gatewayUrl } = at().stack;
        const command = isOnline
          ? ["submit", strategy, "--world", "w", "--gateway-url", gatewayUrl]
          : ["run", strategy, "--offline"];
        expect(await commandRefusal(qmtl.lines(...command))).toMatchObject({
          exitCode: 2,
          file,
          ...told,
        });
        expect(await at().stored()).toBe(before);
      },
    );
  });
}
