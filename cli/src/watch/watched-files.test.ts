import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitUntil } from "@qmtl/sdk/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileSignature } from "./file-signature.ts";
import { WatchedFiles } from "./watched-files.ts";

let folder: string;
let told: string[][];
let files: WatchedFiles;
const at = (name: string): string => join(folder, name);
const save = (name: string, text: string): void => writeFileSync(at(name), text);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "watched-files-"));
  told = [];
  files = new WatchedFiles({ onChange: (paths) => told.push([...paths]), quietMs: 20 });
});
afterEach(() => {
  files.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The next reported changes, as names in the folder. */
async function next(): Promise<string[]> {
  await waitUntil(() => told.length > 0, "a change");
  return told.shift()!.map((path) => path.slice(folder.length + 1));
}

describe("a watched file", () => {
  test("is reported when it is written, replaced by rename, removed and made again, each time", async () => {
    save("a.ts", "1");
    files.refresh([at("a.ts")]);

    save("a.ts", "22");
    expect(await next()).toEqual(["a.ts"]);
    for (const text of ["333", "4444"]) {
      save("a.ts~", text);
      renameSync(at("a.ts~"), at("a.ts"));
      expect(await next()).toEqual(["a.ts"]);
    }
    rmSync(at("a.ts"));
    expect(await next()).toEqual(["a.ts"]);
    save("a.ts", "5");
    expect(await next()).toEqual(["a.ts"]);
  });

  test("is reported when it comes, also in a folder that is not there yet, or is made again", async () => {
    files.refresh([at("x/y/a.ts")]);

    mkdirSync(at("x/y"), { recursive: true });
    save("x/y/a.ts", "1");
    expect(await next()).toEqual(["x/y/a.ts"]);
    rmSync(at("x"), { recursive: true });
    expect(await next()).toEqual(["x/y/a.ts"]);
    mkdirSync(at("x/y"), { recursive: true });
    save("x/y/a.ts", "2");
    expect(await next()).toEqual(["x/y/a.ts"]);
  });

  test("is reported when it changed between being read and being watched", async () => {
    save("a.ts", "1");
    const read = fileSignature(at("a.ts"));
    save("a.ts", "22");

    files.add(at("a.ts"), read);

    expect(await next()).toEqual(["a.ts"]);
  });
});

test("changes in a row are reported together; other files and what was before a refresh are not", async () => {
  save("a.ts", "1");
  save("b.ts", "1");
  files.refresh([at("a.ts")]);
  save("a.ts", "22");
  files.refresh([at("b.ts")]);
  save("c.ts", "1");
  save("b.ts", "22");
  save("a.ts", "333");

  expect(await next()).toEqual(["a.ts", "b.ts"]);
  files.keepOnly(new Set([at("b.ts")]));
  expect(files.size).toBe(1);
  save("a.ts", "4444");
  save("b.ts", "4444");
  expect(await next()).toEqual(["b.ts"]);
  expect(told).toEqual([]);
});
