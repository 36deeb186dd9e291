import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Placement, placeFiles } from "./place-files.ts";

const files = [
  { path: "a.txt", text: "new a" },
  { path: "deep/er/b.txt", text: "new b" },
  { path: "deep/c.txt", text: "new c" },
];
let parent: string;
let target: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "place-files-"));
  target = join(parent, "project");
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

/** Every file under a folder with its text. */
function snapshot(folder: string): Record<string, string> {
  if (!existsSync(folder)) return {};
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((file) => [file.slice(folder.length + 1), readFileSync(file, "utf8")]),
  );
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(target, path)), { recursive: true });
  writeFileSync(join(target, path), text);
}

/** Runs a placement once for each of its steps, failing at that step; gives the files left each time. */
async function failingAtEachStep(
  placement: Omit<Placement, "target">,
  before: () => void,
): Promise<Record<string, string>[]> {
  const left: Record<string, string>[] = [];
  for (let failing = 0; failing < 100; failing++) {
    rmSync(target, { recursive: true, force: true });
    before();
    let step = 0;
    const onStep = (): void => {
      if (step++ === failing) throw new Error("the disk is gone");
    };
    const failure = await placeFiles({ ...placement, target, onStep }).catch((error) => error);
    if (failure === undefined) return left;
    expect(failure.message).toBe("the disk is gone");
    left.push(snapshot(parent));
  }
  throw new Error("it never came to an end");
}

describe("into a new folder", () => {
  test("no file is missing, and nothing beside them", async () => {
    await placeFiles({ target, files, existing: "refuse" });

    expect(snapshot(target)).toEqual(Object.fromEntries(files.map((f) => [f.path, f.text])));
    expect(readdirSync(parent)).toEqual(["project"]);
  });

  test("whatever step fails, nothing is left", async () => {
    const left = await failingAtEachStep({ files, existing: "refuse" }, () => {});

    expect(left.length).toBeGreaterThan(files.length);
    expect(left.every((one) => Object.keys(one).length === 0)).toBe(true);
    expect(readdirSync(parent)).toEqual(["project"]); // of the last run, which nothing stopped
  });

  test("folders made on the way to it go with it when it fails", async () => {
    const failing = placeFiles({
      target: join(parent, "far", "away", "project"),
      files,
      existing: "refuse",
      prepare: () => {
        throw new Error("no");
      },
    });

    await expect(failing).rejects.toThrow("no");
    expect(readdirSync(parent)).toEqual([]);
  });

  test("stopped by its signal, nothing is left", async () => {
    const stopper = new AbortController();
    const stopped = placeFiles({
      target,
      files,
      existing: "refuse",
      prepare: () => stopper.abort(),
      signal: stopper.signal,
    });

    await expect(stopped).rejects.toMatchObject({ reason: "INTERRUPTED" });
    expect(readdirSync(parent)).toEqual([]);
  });
});

describe("into a folder that is there", () => {
  const before = (): void => {
    write("a.txt", "old a");
    write("mine.txt", "mine");
    write("deep/c.txt", "old c");
  };

  test("files of the same name are replaced, others stay", async () => {
    before();
    await placeFiles({ target, files, existing: "replace" });

    expect(snapshot(target)).toEqual({
      "a.txt": "new a",
      "deep/c.txt": "new c",
      "deep/er/b.txt": "new b",
      "mine.txt": "mine",
    });
  });

  test("whatever step fails, everything is as it was", async () => {
    const left = await failingAtEachStep({ files, existing: "replace" }, before);

    expect(left.length).toBeGreaterThan(2 * files.length);
    for (const one of left)
      expect(one).toEqual({
        "project/a.txt": "old a",
        "project/deep/c.txt": "old c",
        "project/mine.txt": "mine",
      });
  });

  test("where nothing may be replaced, one conflict refuses all", async () => {
    before();
    const refused = placeFiles({ target, files, existing: "refuse" });

    await expect(refused).rejects.toMatchObject({ reason: "PATH_TAKEN" });
    await expect(refused).rejects.toThrow("a.txt, deep/c.txt");
    expect(snapshot(target)).toMatchObject({ "a.txt": "old a" });
    expect(Object.keys(snapshot(target))).toHaveLength(3);
  });

  test("what is prepared never replaces a file of the project", async () => {
    before();
    const prepare = (folder: string): void => {
      writeFileSync(join(folder, "mine.txt"), "made");
      writeFileSync(join(folder, "made.txt"), "made");
    };
    await placeFiles({ target, files, existing: "replace", prepare });

    expect(snapshot(target)).toMatchObject({ "mine.txt": "mine", "made.txt": "made" });
  });

  test("a file where a folder is needed, or a folder where a file is, is in the way", async () => {
    write("deep", "a file");
    const replacing = placeFiles({ target, files, existing: "replace" });
    await expect(replacing).rejects.toMatchObject({ reason: "PATH_TAKEN" });

    rmSync(join(target, "deep"));
    write("a.txt/x", "in a folder");
    const again = placeFiles({ target, files, existing: "replace" });
    await expect(again).rejects.toMatchObject({ reason: "PATH_TAKEN" });
    expect(snapshot(target)).toEqual({ "a.txt/x": "in a folder" });
  });
});
