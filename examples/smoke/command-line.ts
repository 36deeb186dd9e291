/** A line as a user types it: variables set in front of it, then the words. */
export interface CommandLine {
  readonly env: Readonly<Record<string, string>>;
  readonly words: readonly string[];
}

/**
 * Splits a line into words as a shell does: at blanks, except within '…' and "…"; `# …` to the end is a comment.
 *
 * @throws {Error} for any other shell syntax (pipes, redirections, `$`): such a line is not for these tests.
 */
export function parseCommandLine(line: string): CommandLine {
  const words: string[] = [];
  const token = /\s*(#.*$|(?:'[^']*'|"[^"$]*"|[^\s'"|&;<>$`])+)/y;
  const text = line.trim();
  while (token.lastIndex < text.length) {
    const from = token.lastIndex;
    const found = token.exec(text)?.[1];
    if (found === undefined) throw new Error(`not a plain command: ${text.slice(from)}`);
    if (found.startsWith("#")) break;
    words.push(found.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2"));
  }
  const env: Record<string, string> = {};
  while (/^[A-Z_]+=/.test(words[0] ?? "")) {
    const [name = "", ...value] = words.shift()!.split("=");
    env[name] = value.join("=");
  }
  return { env, words };
}

/** The lines of a page's `sh` blocks, in order; a line that ends in `\` continues with the next. */
export function commandsOf(page: string): string[] {
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = ""]) => block);
  return blocks
    .join("")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"));
}
