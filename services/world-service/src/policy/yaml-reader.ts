import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { PolicyError, type PolicyProblem, policyProblemsMax } from "./policy-problem.ts";

/** A value of a document with its position, so that every problem can name line and column. */
export interface YamlValue {
  readonly path: string;
  readonly node: Node | null;
  readonly offset: number;
}

/** Reads a small YAML document value by value, collecting problems instead of stopping at the first. */
export class YamlReader {
  readonly root: YamlValue;
  readonly #problems: PolicyProblem[] = [];
  readonly #lines = new LineCounter();

  /** @throws {PolicyError} when the text is not one YAML document. */
  constructor(text: string) {
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const errors = [...document.errors, ...document.warnings];
    // The library recurses once per level; where the call stack ends, it reports that once per level as well.
    const tooDeep = errors.find(({ message }) => /call stack/i.test(message));
    if (tooDeep === undefined) {
      for (const { message, pos } of errors)
        this.#add("POLICY_INVALID", "", pos[0], `not valid YAML: ${message}`);
    } else this.#add("POLICY_INVALID", "", tooDeep.pos[0], "the document is nested too deeply");
    this.finish();
    this.root = { path: "", node: document.contents, offset: 0 };
  }

  /** Notes a problem at a value. */
  complain(value: YamlValue, message: string, reason: PolicyProblem["reason"] = "POLICY_INVALID") {
    this.#add(reason, value.path, value.offset, message);
  }

  /** @throws {PolicyError} when there was any problem. */
  finish(): void {
    if (this.#problems.length > 0) throw new PolicyError(this.#problems);
  }

  /** Members of a mapping in document order; a key that is not in `known` is a problem. */
  members(value: YamlValue, known?: readonly string[]): Map<string, YamlValue> {
    const members = new Map<string, YamlValue>();
    if (value.node === null || (isScalar(value.node) && value.node.value === null)) return members;
    if (!isMap(value.node)) {
      this.complain(value, `${value.path || "the document"} must be a mapping`);
      return members;
    }
    for (const pair of value.node.items) {
      const key = isScalar(pair.key) ? pair.key : null;
      const name = String(key?.value);
      const path = value.path === "" ? name : `${value.path}.${name}`;
      const keyAt = key?.range?.[0] ?? value.offset;
      const node = pair.value as Node | null;
      const member = { path, node, offset: node?.range?.[0] ?? keyAt };
      if (known !== undefined && !known.includes(name)) {
        const hint = `known here: ${known.join(", ")}`;
        this.complain({ ...member, offset: keyAt }, `unknown key "${name}" (${hint})`);
      } else members.set(name, member);
    }
    return members;
  }

  /** A finite number, or undefined with a problem noted. */
  number(value: YamlValue): number | undefined {
    const scalar = this.#scalar(value);
    if (typeof scalar === "number" && Number.isFinite(scalar)) return scalar;
    this.complain(value, `${value.path} must be a finite number`);
    return undefined;
  }

  /** Text, or undefined with a problem noted. */
  text(value: YamlValue): string | undefined {
    const scalar = this.#scalar(value);
    if (typeof scalar === "string" && scalar !== "") return scalar;
    this.complain(value, `${value.path} must be text`);
    return undefined;
  }

  /** One of the given words, or undefined with a problem noted. */
  word<W extends string>(value: YamlValue, words: readonly W[]): W | undefined {
    const scalar = this.#scalar(value);
    const word = words.find((candidate) => candidate === scalar);
    if (word === undefined)
      this.complain(value, `${value.path} must be one of ${words.join(", ")}`);
    return word;
  }

  /** Items of a list. */
  items(value: YamlValue): YamlValue[] {
    if (!isSeq(value.node)) {
      this.complain(value, `${value.path} must be a list`);
      return [];
    }
    return value.node.items.map((item, index) => {
      const node = item as Node | null;
      return { path: `${value.path}.${index}`, node, offset: node?.range?.[0] ?? value.offset };
    });
  }

  /** The plain value of a scalar; undefined for anything else. */
  #scalar(value: YamlValue): unknown {
    if (isAlias(value.node)) this.complain(value, "aliases are not supported");
    return isScalar(value.node) ? value.node.value : undefined;
  }

  #add(reason: PolicyProblem["reason"], path: string, offset: number, message: string): void {
    if (this.#problems.length >= policyProblemsMax) return;
    const { line, col } = this.#lines.linePos(offset);
    this.#problems.push({ reason, path, message, line: line || 1, column: col || 1 });
  }
}
