import { type DescField, type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { FieldViolation } from "@qmtl/sdk/rpc";

/** A path into a JSON text: keys of objects, indexes of lists. */
type Way = readonly (string | number)[];

interface Fault {
  readonly at: Way;
  readonly description: string;
}

/** Deepest nesting of messages that is checked; the decoder takes no more either. */
const DEPTH_MAX = 100;

/**
 * Where a JSON text breaks the rules of a message, with the path in proto names: a key that is unknown or appears
 * twice, two members of one oneof, a value that does not fit its field. Undefined for a text that is not JSON or breaks
 * none.
 *
 * The decoder says that something is wrong, but names no more than the innermost field.
 */
export function jsonFault(desc: DescMessage, text: string): FieldViolation | undefined {
  let json: JsonValue;
  try {
    json = JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
  const fault = duplicateKey(text) ?? faultIn(desc, json, []);
  if (fault === undefined) return undefined;
  return { field: pathOf(desc, fault.at), description: fault.description };
}

function faultIn(desc: DescMessage, json: JsonValue, at: Way): Fault | undefined {
  if (at.length > DEPTH_MAX) return undefined;
  if (!isObject(json)) return { at, description: "must be an object" };
  const keys = new Map<DescField | string, string>();
  for (const [key, value] of Object.entries(json)) {
    const here = [...at, key];
    const field = fieldOf(desc, key);
    if (field === undefined) return { at: here, description: "is not known" };
    const twice = keys.get(field);
    if (twice !== undefined) return { at: here, description: `appears twice, also as ${twice}` };
    keys.set(field, key);
    if (value === null) continue;
    const choice = field.oneof?.name;
    const other = choice === undefined ? undefined : keys.get(choice);
    if (other !== undefined)
      return {
        at: here,
        description: `is set together with ${other}; only one of them may be set`,
      };
    if (choice !== undefined) keys.set(choice, key);
    const fault = faultOfValue(desc, field, value, here);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function faultOfValue(
  desc: DescMessage,
  field: DescField,
  value: JsonValue,
  at: Way,
): Fault | undefined {
  const inner = messageOf(field);
  const wrap = (item: JsonValue) => ({ [field.jsonName]: item });
  if (field.fieldKind === "list" && Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const here = [...at, index];
      const fault =
        inner === undefined ? faultOfLeaf(desc, wrap([item]), here) : faultIn(inner, item, here);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  if (field.fieldKind === "map" && isObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      const here = [...at, key];
      const fault =
        inner === undefined
          ? faultOfLeaf(desc, wrap({ [key]: item }), here)
          : faultIn(inner, item, here);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
  if (field.fieldKind === "message" && inner !== undefined) return faultIn(inner, value, at);
  return faultOfLeaf(desc, wrap(value), at);
}

/** A value without messages of ours in it: the decoder says what is wrong with it. */
function faultOfLeaf(desc: DescMessage, json: JsonValue, at: Way): Fault | undefined {
  try {
    fromJson(desc, json);
    return undefined;
  } catch (failure) {
    const text = failure instanceof Error ? failure.message : String(failure);
    return { at, description: text.replace(/^cannot decode field \S+ from JSON: /, "") };
  }
}

/** Type of the messages in a field; those of Google have a JSON form of their own, and count as one value. */
function messageOf(field: DescField): DescMessage | undefined {
  const { message } = field;
  return message === undefined || message.typeName.startsWith("google.") ? undefined : message;
}

const fieldOf = (desc: DescMessage, key: string): DescField | undefined =>
  desc.fields.find(({ name, jsonName }) => key === jsonName || key === name);

const isObject = (json: JsonValue): json is { [key: string]: JsonValue } =>
  typeof json === "object" && json !== null && !Array.isArray(json);

/** A path such as `graph.nodes[3].interval_seconds`; an unknown name stays as it was written. */
function pathOf(root: DescMessage, way: Way): string {
  let path = "";
  let desc: DescMessage | undefined = root;
  let entriesOf: DescField | undefined;
  for (const step of way) {
    if (typeof step === "number") {
      path += `[${step}]`;
    } else if (entriesOf === undefined) {
      const field: DescField | undefined = desc && fieldOf(desc, step);
      path += `${path === "" ? "" : "."}${field?.name ?? step}`;
      desc = field?.message;
      if (field?.fieldKind === "map") entriesOf = field;
    } else {
      path += `["${step}"]`;
      entriesOf = undefined;
    }
  }
  return path;
}

/** An object or list of the text that is not closed yet. */
interface Open {
  /** Keys of an object so far; undefined in a list. */
  readonly keys: Set<string> | undefined;
  step: string | number;
}

/** Strings, and the punctuation between them, of a text that is known to be JSON. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

/** The first key that appears twice in one object: of the two values only one would be read. */
function duplicateKey(text: string): Fault | undefined {
  const opened: Open[] = [];
  let isKeyNext = false;
  for (const [token] of text.matchAll(TOKEN)) {
    const innermost = opened.at(-1);
    if (token === "{" || token === "[") {
      opened.push(token === "{" ? { keys: new Set(), step: "" } : { keys: undefined, step: 0 });
      isKeyNext = token === "{";
    } else if (token === "}" || token === "]") {
      opened.pop();
      isKeyNext = false;
    } else if (token === ",") {
      if (typeof innermost?.step === "number") innermost.step += 1;
      isKeyNext = innermost?.keys !== undefined;
    } else if (token === ":") {
      isKeyNext = false;
    } else if (isKeyNext && innermost?.keys !== undefined) {
      const key = JSON.parse(token) as string;
      innermost.step = key;
      if (innermost.keys.has(key))
        return { at: opened.map(({ step }) => step), description: "appears twice" };
      innermost.keys.add(key);
    }
  }
  return undefined;
}
