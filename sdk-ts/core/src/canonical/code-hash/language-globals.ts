/** Names every host of the language has. A compute function may use them. */
const languageNames = `
  undefined NaN Infinity isFinite isNaN parseFloat parseInt encodeURIComponent decodeURIComponent encodeURI decodeURI
  Object Function Boolean Symbol Number BigInt Math String RegExp Array Map Set WeakMap WeakSet WeakRef Date JSON
  Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError Iterator Promise Proxy Reflect
  ArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array
  Float16Array Float32Array Float64Array BigInt64Array BigUint64Array Intl
`;

/** Harmless names of the host: they give the same answer everywhere or only write a log. */
const hostNames = "console structuredClone TextEncoder TextDecoder";

export const allowedGlobals: ReadonlySet<string> = new Set(
  `${languageNames} ${hostNames}`.split(/\s+/).filter((name) => name !== ""),
);

/** Members that answer differently each time: a backtest and a live run could not agree. */
export const nondeterministicMembers: ReadonlySet<string> = new Set(["Math.random", "Date.now"]);

/** Globals refused for the same reason. */
export const nondeterministicGlobals: ReadonlySet<string> = new Set([
  "performance",
  "crypto",
  "process",
  "eval",
  "Temporal",
]);
