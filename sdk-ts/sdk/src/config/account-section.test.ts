import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "./load-config.ts";

function loaded(accounts: string, instrument = "") {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-account-"));
  const path = join(folder, "qmtl.yml");
  const text = `sources: {px: {file: px.csv}, narrow: {file: px.csv, columns: [close, Rate]}}\ninstruments: {X: {mark_source: px${instrument}}}\naccounts: {${accounts}}\n`;
  writeFileSync(path, text);
  return loadConfig({ path, cwd: folder, env: {} });
}

test.each([
  [
    "an account without instruments, which trades nothing",
    ["main: {initial_cash: 5000}"],
    "accounts.main.instruments.*is empty, so the account trades nothing: list what it trades of X",
  ],
  [
    "an account that begins with nothing, and can buy nothing",
    ['main: {initial_cash: "0", instruments: [X]}'],
    "accounts.main.initial_cash.*must be above 0",
  ],
  [
    "leverage on an account of kind cash",
    ["main: {kind: cash, leverage_max: 2, instruments: [X]}"],
    "accounts.main.leverage_max.*is 2, but an account of kind cash has no more than 1",
  ],
  [
    "an instrument's leverage beyond that of an account that lists it",
    ["main: {leverage_max: 2, instruments: [X]}", ", leverage_max: 5"],
    "instruments.X.leverage_max.*is 5, beyond the leverage_max 2 of account main",
  ],
  [
    "an instrument's leverage beyond the 1 of an account that states none",
    ["main: {instruments: [X]}", ", leverage_max: 1.5"],
    "instruments.X.leverage_max.*is 1.5, beyond the leverage_max 1 of account main",
  ],
  [
    "a rate in percent",
    ["main: {debit_rate: 6, instruments: [X]}"],
    "accounts.main.debit_rate.*at most 1",
  ],
  [
    "a rate of a short that cannot be, on an account of kind cash",
    ["main: {kind: cash, borrow_rate: 0.01, instruments: [X]}"],
    "accounts.main.borrow_rate.*is 0.01, but an account of kind cash sells nothing short",
  ],
  [
    "a zone that does not exist",
    ["main: {debit_rate: 0.06, zone: Mars/Olympus, instruments: [X]}"],
    "accounts.main.zone.*not the IANA name of a time zone",
  ],
  [
    "a zone that is of no use without a rate",
    ["main: {zone: Asia/Seoul, instruments: [X]}"],
    "accounts.main.zone.*does nothing, since no rate of the account is other than 0",
  ],
  [
    "another year than one of 360 or 365 days",
    ["main: {debit_rate: 0.06, day_count: 252, instruments: [X]}"],
    "accounts.main.day_count",
  ],
  [
    "a year that is of no use without a rate",
    ["main: {day_count: 365, instruments: [X]}"],
    "accounts.main.day_count.*does nothing",
  ],
  [
    "funding from a source that is no entry",
    ["main: {instruments: [X]}", ", funding: {source: rates, column: rate}"],
    'instruments.X.funding.source.*"rates" is not an entry of sources',
  ],
  [
    "funding from a column that its source does not read",
    ["main: {instruments: [X]}", ", funding: {source: narrow, column: funding}"],
    'instruments.X.funding.column.*"funding" is not among the columns that source narrow reads, close, Rate',
  ],
  [
    "funding without a column",
    ["main: {instruments: [X]}", ", funding: {source: px}"],
    "instruments.X.funding.column",
  ],
  ["a leverage of 0", ["main: {leverage_max: 0, instruments: [X]}"], "must be above 0"],
  ["a kind that does not exist", ["main: {kind: gold, instruments: [X]}"], "one of cash, margin"],
] as const)("the configuration refuses %s", (_, [accounts, instrument], message) => {
  expect(() => loaded(accounts, instrument)).toThrow(new RegExp(message, "s"));
});

test("an instrument has the funding that its entry states, and none by itself", () => {
  const narrow = { source: "narrow", column: "rate" };
  const funded = loaded("main: {instruments: [X]}", ", funding: {source: narrow, column: rate}");

  expect(funded.instruments.X?.funding).toEqual(narrow);
  expect(loaded("main: {instruments: [X]}").instruments.X?.funding).toBeNull();
});

test("an account states no leverage by itself", () => {
  const { main } = loaded("main: {instruments: [X]}").accounts;
  expect(main).toMatchObject({ kind: "margin", leverage_max: null });
});
