import type { z } from "zod";

/** Letters of a value that a message quotes at most. */
const quotedMax = 40;

const kinds: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a section with keys below it",
  record: "a section with names below it",
};

/** What is wrong with a value, as the author of the file would put it. */
export function issueText(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return wrongType(issue.expected, issue.input);
    case "too_small":
      return outOfRange(issue.origin, issue.minimum, issue.inclusive === false, "least");
    case "too_big":
      return outOfRange(issue.origin, issue.maximum, issue.inclusive === false, "most");
    case "invalid_value":
      return `must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`;
    case "invalid_union":
      return issue.message === "Invalid input" ? noneOf(issue) : issue.message;
    case "invalid_key":
      return `not a name: ${issue.issues[0]?.message}`;
    default:
      return issue.message.replace(/^Invalid input: /, "");
  }
}

function wrongType(expected: string, input: unknown): string {
  if (input === undefined) return "is needed";
  const isSection = expected === "object" || expected === "record";
  if (input === null)
    return isSection
      ? "is empty: put its keys below it, or leave it out"
      : "is empty: give it a value, or leave it out";
  const wanted = `must be ${kinds[expected] ?? expected}`;
  if (typeof input === "number" || typeof input === "boolean") {
    const advice = expected === "string" ? "; put it in quotes" : "";
    return `${wanted}, not ${input}${advice}`;
  }
  if (typeof input !== "string")
    return `${wanted}, not ${Array.isArray(input) ? "a list" : "a section"}`;
  if (expected === "array") return `${wanted}, such as [a, b], not text`;
  // What stands where a section belongs may be a secret; a switch or a figure is none.
  if (isSection || input.length > quotedMax) return `${wanted}, not text`;
  const isQuoted = expected !== "boolean" && input.trim() !== "" && Number.isFinite(Number(input));
  return `${wanted}, not the text "${input}"${isQuoted ? "; leave the quotes out" : ""}`;
}

function outOfRange(
  origin: string,
  bound: number | bigint,
  isExclusive: boolean,
  side: "least" | "most",
): string {
  if (origin === "string")
    return side === "least" && Number(bound) === 1
      ? "must not be empty"
      : `must be ${bound} letters at ${side}`;
  if (origin === "array") return `must have ${bound} entries at ${side}`;
  if (isExclusive) return `must be ${side === "least" ? "above" : "below"} ${bound}`;
  return `must be at ${side} ${bound}`;
}

/** What each kind of value would have had to be. */
function noneOf({ errors }: Extract<z.core.$ZodIssue, { code: "invalid_union" }>): string {
  const wants = errors.flatMap(([first]) => (first === undefined ? [] : [issueText(first)]));
  return wants.length === 0 ? "does not hold" : [...new Set(wants)].join("; or ");
}
