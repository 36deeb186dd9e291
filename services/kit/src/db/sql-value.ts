/** Turns one column's text, as the server sends it, into a JavaScript value. */
export type ValueDecoder = (text: string) => unknown;

/** Element decoder and array type of each type that is not left as text; keys are PostgreSQL's OIDs. */
const SCALARS: readonly { oid: number; arrayOid: number; decode: ValueDecoder }[] = [
  { oid: 16, arrayOid: 1000, decode: (text) => text === "t" || text === "true" },
  { oid: 17, arrayOid: 1001, decode: decodeBytea },
  { oid: 20, arrayOid: 1016, decode: decodeInt8 },
  { oid: 21, arrayOid: 1005, decode: Number },
  { oid: 23, arrayOid: 1007, decode: Number },
  { oid: 26, arrayOid: 1028, decode: Number },
  { oid: 114, arrayOid: 199, decode: JSON.parse },
  { oid: 700, arrayOid: 1021, decode: decodeFloat },
  { oid: 701, arrayOid: 1022, decode: decodeFloat },
  { oid: 1184, arrayOid: 1185, decode: decodeTimestamptz },
  { oid: 3802, arrayOid: 3807, decode: JSON.parse },
];
/**
 * Array types whose elements stay text: char, name, text, bpchar, varchar, date, time, timestamp, timetz, interval,
 * numeric, uuid.
 */
const TEXT_ARRAYS = [1002, 1003, 1009, 1014, 1015, 1182, 1183, 1115, 1270, 1187, 1231, 2951];

const asText: ValueDecoder = (text) => text;
const DECODERS = new Map<number, ValueDecoder>();
for (const { oid, arrayOid, decode } of SCALARS) {
  // JSON.parse takes a second argument; the wrapper keeps it from seeing one.
  DECODERS.set(oid, (text) => decode(text));
  DECODERS.set(arrayOid, (text) => decodeArray(text, (element) => decode(element)));
}
for (const arrayOid of TEXT_ARRAYS) DECODERS.set(arrayOid, (text) => decodeArray(text, asText));

/** The decoder of a type; text for a type not known here. */
export function decoderOf(oid: number): ValueDecoder {
  return DECODERS.get(oid) ?? asText;
}

function decodeInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} is beyond 2^53`);
  return value;
}

function decodeFloat(text: string): number {
  return Number(text); // "NaN", "Infinity" and "-Infinity" are spelt alike on both sides
}

/** The bytes fill a buffer of their own, so that it can be moved to another thread. */
function decodeBytea(text: string): Uint8Array {
  const bytes = new Uint8Array((text.length - 2) / 2);
  Buffer.from(bytes.buffer).write(text.slice(2), "hex");
  return bytes;
}

function decodeTimestamptz(text: string): number {
  if (text === "infinity") return Number.POSITIVE_INFINITY;
  if (text === "-infinity") return Number.NEGATIVE_INFINITY;
  // "2026-01-02 03:04:05.678901+00": sessions are in UTC and ISO style.
  const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00$/.exec(text);
  if (match === null) throw new RangeError(`timestamptz ${text} is out of range`);
  return Date.parse(`${match[1]}T${match[2]}.${(match[3] ?? "").slice(0, 3).padEnd(3, "0")}Z`);
}

/** Parses `{a,"b c",NULL,{…}}`; explicit lower bounds are dropped. */
function decodeArray(text: string, decode: ValueDecoder): unknown[] {
  let at = text.startsWith("[") ? text.indexOf("=") + 1 : 0;
  const readQuoted = (): string => {
    let out = "";
    for (at += 1; text[at] !== '"'; at += 1) {
      if (text[at] === "\\") at += 1;
      out += text[at];
    }
    at += 1;
    return out;
  };
  const readItem = (): unknown => {
    if (text[at] === "{") return readList();
    if (text[at] === '"') return decode(readQuoted());
    const start = at;
    while (text[at] !== "," && text[at] !== "}") at += 1;
    const bare = text.slice(start, at);
    return bare === "NULL" ? null : decode(bare);
  };
  const readList = (): unknown[] => {
    const items: unknown[] = [];
    at += 1;
    while (text[at] !== "}") {
      items.push(readItem());
      if (text[at] === ",") at += 1;
    }
    at += 1;
    return items;
  };
  return readList();
}
