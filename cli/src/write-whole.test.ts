import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeWhole } from "./write-whole.ts";

let folder: string;
const at = (name: string): string => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "qmtl-write-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a file is written whole", () => {
  test("where there is none, and nothing else is left in its folder", () => {
    expect(writeWhole(at("a.md"), "new", false)).toBe(at("a.md"));

    expect(readdirSync(folder)).toEqual(["a.md"]);
    expect(readFileSync(at("a.md"), "utf8")).toBe("new");
  });

  test("over one that is there only when that is said; that one keeps its permissions", () => {
    writeFileSync(at("a.md"), "old");
    chmodSync(at("a.md"), 0o640);

    expect(() => writeWhole(at("a.md"), "new", false)).toThrow(
      expect.objectContaining({ exitCode: 2, hint: "--force replaces it" }),
    );
    expect(readFileSync(at("a.md"), "utf8")).toBe("old");
    writeWhole(at("a.md"), "new", true);

    expect(readFileSync(at("a.md"), "utf8")).toBe("new");
    expect(statSync(at("a.md")).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(["a.md"]);
  });

  test("through a link, which stays one", () => {
    mkdirSync(at("far"));
    writeFileSync(at("far/a.md"), "old");
    symlinkSync("far/a.md", at("a.md"));

    writeWhole(at("a.md"), "new", true);

    expect(lstatSync(at("a.md")).isSymbolicLink()).toBe(true);
    expect(readFileSync(at("far/a.md"), "utf8")).toBe("new");
  });

  test("to a device as it is: it is not replaced by a file", () => {
    writeWhole("/dev/null", "gone", true);

    expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test.each([
    ["into a folder that is not there", "no/a.md", /no is no folder/],
    ["over a folder", "taken", /taken cannot be written: EISDIR/],
  ])("never %s: told with what to do, nothing left", (_what, name, message) => {
    mkdirSync(at("taken"));

    expect(() => writeWhole(at(name), "new", true)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(message),
        hint: expect.any(String),
      }),
    );
    expect(readdirSync(folder)).toEqual(["taken"]);
  });
});
