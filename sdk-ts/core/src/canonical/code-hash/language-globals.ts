/** Names every host of the language has. A compute function may use them. */
const languageNames = `
  undefined NaN Infinity isFinite isNaN parseFloat parseInt encodeURIComponent decodeURIComponent encodeURI decodeURI
  Object Boolean Symbol Number BigInt Math String RegExp Array Map Set WeakMap WeakSet Date JSON
  Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError Iterator Promise Proxy Reflect
  ArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array
  Float16Array Float32Array Float64Array BigInt64Array BigUint64Array
`;

/** Harmless names of the host: they give the same answer everywhere or only write a log. */
const hostNames = "console structuredClone TextEncoder TextDecoder";

export const allowedGlobals: ReadonlySet<string> = new Set(
  `${languageNames} ${hostNames}`.split(/\s+/).filter((name) => name !== ""),
);

export const clockAdvice =
  "a function knows only its inputs: read the time from a column of the bars";
const seedAdvice =
  "take random numbers from a column of the bars, or compute them from a seed in params";
export const utcAdvice =
  "write new Date(Date.UTC(year, month, day)), or read the time from a column";
const paramAdvice = "pass what it says as a param";
const noCodeAdvice = "write the code out";
const textAdvice = "write toFixed, toISOString or a comparison with < and >";

/** Members of `Date` and `Math` that are refused, with what to write instead. */
export const impureMembers: ReadonlyMap<string, string> = new Map([
  ["Date.now", clockAdvice],
  [
    "Date.parse",
    "a text without a zone means another time on each machine: write Date.UTC(year, month, day)",
  ],
  ["Math.random", seedAdvice],
]);

/** Globals that are refused, with what to write instead. */
export const impureGlobals: ReadonlyMap<string, string> = new Map([
  ["performance", clockAdvice],
  ["Temporal", clockAdvice],
  ["crypto", seedAdvice],
  ["process", paramAdvice],
  ["navigator", paramAdvice],
  ["eval", noCodeAdvice],
  ["Function", noCodeAdvice],
  ["Intl", textAdvice],
  ["WeakRef", "keep nothing that may be collected"],
  ["FinalizationRegistry", "keep nothing that may be collected"],
]);

const dateParts = ["Date", "Day", "FullYear", "Hours", "Minutes", "Month", "Seconds"];

/** Methods that read the time zone or the language of the machine, with what to write instead. */
export const localMethods: ReadonlyMap<string, string> = new Map([
  ...dateParts.map((part) => [`get${part}`, `write getUTC${part}`] as const),
  ...dateParts
    .filter((part) => part !== "Day")
    .map((part) => [`set${part}`, `write setUTC${part}`] as const),
  ["getYear", "write getUTCFullYear"],
  ["setYear", "write setUTCFullYear"],
  ["getTimezoneOffset", "work in UTC, as getUTCHours does"],
  ["toDateString", "write toISOString"],
  ["toTimeString", "write toISOString"],
  ["toLocaleDateString", "write toISOString"],
  ["toLocaleTimeString", "write toISOString"],
  ["toLocaleString", "write toFixed, or toISOString for a date"],
  ["toLocaleUpperCase", "write toUpperCase"],
  ["toLocaleLowerCase", "write toLowerCase"],
  ["localeCompare", "compare with < and >"],
]);

/** Names of `node:crypto` that give the same for the same input. */
const pureCrypto: ReadonlySet<string> = new Set(["createHash", "createHmac", "hash"]);

/** Modules of Node that give the same everywhere. */
const pureModules: ReadonlySet<string> = new Set(
  "assert assert/strict buffer path/posix querystring string_decoder url util".split(" "),
);

/** Why an import from a module of Node is refused, as what to do instead; undefined if it may be used. */
export function impureImport(module: string, imported: string): string | undefined {
  const name = module.replace(/^node:/, "");
  if (pureModules.has(name) || (name === "crypto" && pureCrypto.has(imported))) return undefined;
  return name === "crypto"
    ? `import one of ${[...pureCrypto].join(", ")}, or ${seedAdvice}`
    : paramAdvice;
}
