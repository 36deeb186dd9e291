import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pages = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file.endsWith(".md") && existsSync(join(root, file)));

const withoutFences = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, "");
const withoutCode = (text: string): string => withoutFences(text).replace(/`[^`\n]*`/g, "");

/** Anchors of a page's headings: lower case, words joined by hyphens, repeated ones numbered. */
function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutFences(text).matchAll(/^#+ (.+)$/gm)) {
    const plain = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .trim()
      .toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\- _]/gu, "").replace(/ /g, "-");
    let name = slug;
    for (let at = 1; anchors.has(name); at += 1) name = `${slug}-${at}`;
    anchors.add(name);
  }
  return anchors;
}

/** Links of a page that lead nowhere in this repository. */
function brokenLinks(page: string, text: string, read: (file: string) => string | undefined) {
  return [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [path = "", anchor = ""] = link.split("#");
    const target = path === "" ? page : normalize(join(dirname(page), path));
    const found = target === page ? text : read(target);
    if (found === undefined) return [`${page}: ${link}: no such file`];
    const isKnown = anchor === "" || anchorsOf(found).has(anchor);
    return isKnown ? [] : [`${page}: ${link}: no such heading`];
  });
}

function readHere(file: string): string | undefined {
  const path = join(root, file);
  if (!existsSync(path)) return undefined;
  return file.endsWith(".md") ? readFileSync(path, "utf8") : "";
}

test("every link of a document leads to a file and a heading that are there", () => {
  const broken = pages.flatMap((page) =>
    brokenLinks(page, readFileSync(join(root, page), "utf8"), readHere),
  );

  expect(broken).toEqual([]);
});

test("a link to a missing file, heading or repeated heading is found", () => {
  const text =
    "# A b\n## Same\n## Same\n[1](gone.md) [2](#no) [3](#a-b) [4](#same-1) [5](b.md#x) `[6](no)`";
  const read = (file: string) => (file === "docs/b.md" ? "# Y" : undefined);

  expect(brokenLinks("docs/a.md", text, read)).toEqual([
    "docs/a.md: gone.md: no such file",
    "docs/a.md: #no: no such heading",
    "docs/a.md: b.md#x: no such heading",
  ]);
});
