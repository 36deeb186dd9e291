/** A change of a text: what is between `start` and `end` becomes `text`. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** What a module's tags must fulfil, by name of the rule. */
export const tagRules = {
  "tags-missing": "the module exports TAGS",
  "tags-not-literal":
    "TAGS is an object literal, so that it can be read without running the module",
  "key-missing": "scope, family, interval and asset are there",
  "key-unknown": "besides these only window, price, side, target_horizon and label",
  "key-case": "keys are lower case",
  "key-duplicate": "no key appears twice",
  "value-type": "values are texts; interval, window and target_horizon may be numbers",
  "value-empty": "no value is empty",
  "value-case": "values are lower case",
  "interval-canonical": "intervals are written 1m, 5m, 1h, 1d: the largest unit that divides them",
  "interval-invalid": "interval is 1 second to a day",
  "tag-characters": "tags given to nodes are 1..100 characters of A-Za-z0-9_.-",
  "tag-duplicate": "no tag is given to a node twice",
} as const;

export type TagRule = keyof typeof tagRules;

/** A fault in the tags of a module. */
export interface TagFinding {
  readonly rule: TagRule;
  readonly message: string;
  /** Where it is, in UTF-16 units from the start of the text. */
  readonly at: number;
  /** How to fix it; absent where only the author can. */
  readonly edits?: readonly TextEdit[];
}
