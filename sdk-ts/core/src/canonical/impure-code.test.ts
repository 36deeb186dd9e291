import { describe, expect, test } from "vitest";
import { CodeHashError, openCodeHasher } from "./index.ts";

/** Hashes `compute` as it is written below `head`, a module's first lines. */
function hashOf(compute: string, head = "", files: Record<string, string> = {}): string {
  const module = `${head}\nexport const node = { compute: ${compute} };`;
  const all = new Map(Object.entries({ "/p/strategy.ts": module, ...files }));
  const hasher = openCodeHasher({
    modulePath: "/p/strategy.ts",
    readFile: (path) => {
      const text = all.get(path);
      if (text === undefined) throw new Error(`no file ${path}`);
      return text;
    },
  });
  return hasher(new Function(`return ${compute}`)()).hash;
}

function refusal(compute: string, head = "", files: Record<string, string> = {}): CodeHashError {
  try {
    hashOf(compute, head, files);
  } catch (error) {
    if (error instanceof CodeHashError) return error;
    throw error;
  }
  throw new Error(`${compute} was not refused`);
}

describe("a function whose result depends on when or where it runs is refused, with what to write instead", () => {
  test.each([
    ["() => new Date().getTime()", "new Date()", "read the time from a column of the bars"],
    ["() => new Date", "new Date()", "read the time from a column"],
    ["() => Date().length", "Date()", "read the time from a column"],
    ["() => Date.now()", "Date.now", "read the time from a column"],
    ['() => Date["now"]()', "Date.now", "read the time from a column"],
    ["() => performance.now()", "performance", "read the time from a column"],
    ["() => process.hrtime()[0]", "process", "pass what it says as a param"],
    ["() => Number(process.env.LEVEL)", "process", "pass what it says as a param"],
    ["() => navigator.hardwareConcurrency", "navigator", "pass what it says as a param"],
    ["() => Math.random()", "Math.random", "a seed in params"],
    ["() => { const { random } = Math; return random(); }", "Math.random", "a seed in params"],
    ["() => { const m = Math; return m.random(); }", "Math as a value", "as in Math.max"],
    ["() => { const D = Date; return new D() / 1; }", "Date as a value", "as in Date.UTC"],
    ["() => crypto.getRandomValues(new Uint8Array(1))[0]", "crypto", "a seed in params"],
    ["(w) => new Date(w.t).getHours()", "getHours", "write getUTCHours"],
    ["(w) => new Date(w.t).getDay()", "getDay", "write getUTCDay"],
    ["(w) => new Date(w.t)?.getMonth()", "getMonth", "write getUTCMonth"],
    ["(w) => new Date(w.t).getTimezoneOffset()", "getTimezoneOffset", "work in UTC"],
    ["(w) => new Date(w.t).setHours(0)", "setHours", "write setUTCHours"],
    ["(w) => Number(new Date(w.t).toLocaleDateString())", "toLocaleDateString", "toISOString"],
    ["(w) => w.x.toLocaleString().length", "toLocaleString", "write toFixed"],
    ['(w) => "a".localeCompare("b")', "localeCompare", "compare with < and >"],
    ['(w) => "i".toLocaleUpperCase().length', "toLocaleUpperCase", "write toUpperCase"],
    ["() => new Intl.NumberFormat().format(1).length", "Intl", "toFixed"],
    ["() => new Date(2024, 0, 1).getTime()", "new Date of parts in local time", "Date.UTC"],
    ['() => new Date("2024-01-01T00:00").getTime()', "new Date of a text", "Date.UTC"],
    ['() => Date.parse("2024-01-01T00:00")', "Date.parse", "Date.UTC"],
    ["(w) => new WeakRef(w).deref() ? 1 : 0", "WeakRef", "keep nothing"],
    ['() => new Function("return 1")()', "Function", "write the code out"],
    ['() => eval("1")', "eval", "write the code out"],
  ])("%s", (compute, symbol, advice) => {
    const error = refusal(compute);

    expect(error).toMatchObject({ reason: "NONDETERMINISTIC", symbol, line: 2 });
    expect(error.message).toContain(`uses ${symbol}, which gives a different result on each run`);
    expect(error.message).toContain(advice);
  });

  test("also where a helper does it, in a file of one's own", () => {
    const files = { "/p/help.ts": "export const hour = (ms) => new Date(ms).getHours();" };

    expect(refusal("(w) => hour(w.t)", 'import { hour } from "./help.ts";', files)).toMatchObject({
      symbol: "getHours",
    });
  });

  test.each([
    ["randomUUID", "node:crypto", "a seed in params"],
    ["cpus", "node:os", "pass what it says as a param"],
    ["readFileSync", "node:fs", "pass what it says as a param"],
    ["env", "process", "pass what it says as a param"],
    ["performance", "node:perf_hooks", "pass what it says as a param"],
  ])("%s of %s", (name, module, advice) => {
    const error = refusal(`() => ${name}.length`, `import { ${name} } from "${module}";`);

    expect(error).toMatchObject({ reason: "NONDETERMINISTIC", symbol: module });
    expect(error.message).toContain(advice);
  });
});

describe("what is the same everywhere may be used", () => {
  test.each([
    "(w) => new Date(w.t).getUTCHours()",
    "(w) => new Date(Date.UTC(2024, 0, 1)).toISOString().length",
    "(w) => (w.t instanceof Date ? 1 : 0)",
    "(w) => { const { max, min } = Math; return max(w.a, min(w.b, Math.PI)); }",
    "(w) => structuredClone(w).x",
    "(w) => w.process + w.performance",
    "(w) => { const process = w.x; const Date = { now: () => 1 }; return process + Date.now(); }",
  ])("%s", (compute) => {
    expect(hashOf(compute)).toMatch(/^blake3:/);
  });

  test("a name that the module declares itself, and its methods", () => {
    const own = "const performance = { now: () => 1 }; const calendar = { getDay: (ms) => ms };";

    expect(hashOf("(w) => performance.now() + calendar.getDay(w.t)", own)).toMatch(/^blake3:/);
  });

  test("a hash of node:crypto", () => {
    const head = 'import { createHash } from "node:crypto";';

    expect(hashOf('(w) => createHash("sha1").update(w.x).digest()[0]', head)).toMatch(/^blake3:/);
  });
});
