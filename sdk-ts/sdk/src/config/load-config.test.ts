import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  ConfigError,
  configJsonSchema,
  derivedKeys,
  explainConfig,
  type LoadConfigOptions,
  leafKeys,
  loadConfig,
  resolveSecret,
  secretBytesMin,
} from "./index.ts";
import { descriptionOf, schemaAt } from "./schema-walk.ts";

const root = mkdtempSync(join(tmpdir(), "qmtl-config-"));
afterAll(() => rmSync(root, { recursive: true }));

let folders = 0;
function folder(files: Record<string, string> = {}): string {
  const path = join(root, String(folders++));
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

function load(text: string, env: LoadConfigOptions["env"] = {}) {
  return loadConfig({ cwd: folder({ "qmtl.yml": text }), env });
}

function refusal(run: () => unknown): ConfigError {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

const whole = `
project: {name: demo}
sources:
  bars:
    file: data/feed.csv
    history_file: data/history.csv
    start: 2015-01-02
    until: start
    speed: 200
instruments:
  SPX: {mark_source: bars, lot: 0.1, tick: "0.01"}
accounts:
  main:
    instruments: [SPX]
    limits: {max_order_notional: 2000000}
security:
  keys:
    ops: {principal: alice, role: operator, secret: {file: keys/ops}}
`;

describe("a configuration that holds", () => {
  test("without a file the defaults apply", () => {
    const cwd = folder();
    const config = loadConfig({ cwd, env: {} });

    expect(config.gateway).toMatchObject({
      host: "127.0.0.1",
      port: 7400,
      web_port: 7401,
      ticket_ttl_seconds: 300,
    });
    expect(config.dag_manager).toMatchObject({
      port: 7410,
      node_lease_ms: 10_000,
      node_renew_ms: 3_000,
    });
    expect(config.world_service).toMatchObject({ port: 7420, compat_rebalance_v2: false });
    expect(config.storage).toEqual({
      kind: "embedded",
      data_dir: join(cwd, ".qmtl/data"),
      dsn: null,
    });
    expect(config.sdk).toEqual({
      gateway_url: "http://127.0.0.1:7400",
      execution_domain: null,
      trade_mode: null,
      request_timeout_ms: 2_000,
      stream_silence_ms_max: 6_000,
      stream_total_ms_max: null,
      poll_interval_ms: 10_000,
    });
    expect(config.sources).toEqual({});
  });

  test("a file fills in what it says and keeps the defaults of the rest", () => {
    const cwd = folder({ "qmtl.yml": whole });
    const config = loadConfig({ cwd, env: {} });

    expect(config.sources.bars).toEqual({
      adapter: "csv-replay",
      file: join(cwd, "data/feed.csv"),
      history_file: join(cwd, "data/history.csv"),
      interval: "1d",
      columns: null,
      speed: 200,
      start: "2015-01-02",
      until: "start",
      schedule: "observed",
      sparse: false,
      periods_per_year: null,
    });
    expect(config.instruments.SPX).toMatchObject({ lot: "0.1", tick: "0.01", multiplier: "1" });
    expect(config.accounts.main).toMatchObject({
      fee_bps: 1,
      initial_cash: "1000000",
      limits: { max_order_notional: "2000000", max_gross_notional: null },
    });
    expect(config.security.keys.ops?.secret).toEqual({ file: join(cwd, "keys/ops") });
  });

  test("any printable symbol names an instrument, as it is written", () => {
    const text = `sources: {bars: {file: f}}
instruments:
  005930: {mark_source: bars}
  2330: {mark_source: bars}
  1e5: {mark_source: bars}
  ^GSPC: {mark_source: bars}
  BTC/USDT: {mark_source: bars}
  "BRK B": {mark_source: bars}
  삼성전자: {mark_source: bars}
  true: {mark_source: bars}
accounts:
  main: {instruments: ["005930", "BTC/USDT", ^GSPC, "BRK B", 삼성전자]}
`;
    const { instruments } = load(text);

    expect(Object.keys(instruments).toSorted()).toEqual(
      ["005930", "2330", "1e5", "^GSPC", "BTC/USDT", "BRK B", "삼성전자", "true"].toSorted(),
    );
  });

  test("a key that stands twice is refused, with and without quotes", () => {
    const twice = 'instruments:\n  2330: {lot: "1"}\n  "2330": {lot: "2"}\n';
    const error = refusal(() => load(twice));

    expect(error.reason).toBe("CONFIG_NOT_YAML");
    expect(error.message).toContain('the key "2330" stands twice');
  });

  test("qmtl.yml goes before qmtl.yaml, a given path before both", () => {
    const names = {
      "qmtl.yml": "project: {name: a}",
      "qmtl.yaml": "project: {name: b}",
      "c.yml": "project: {name: c}",
    };
    const cwd = folder(names);

    expect(loadConfig({ cwd, env: {} }).project.name).toBe("a");
    expect(loadConfig({ cwd, env: {}, path: "c.yml" }).project.name).toBe("c");
    expect(
      loadConfig({ cwd: folder({ "qmtl.yaml": "project: {name: b}" }), env: {} }).project.name,
    ).toBe("b");
  });

  test("the environment goes before the file, free names included", () => {
    const config = load(whole, {
      QMTL__GATEWAY__PORT: "7500",
      QMTL__ACCOUNTS__MAIN__FEE_BPS: "2.5",
      QMTL__SOURCES__BARS__SPEED: "max",
      QMTL__INSTRUMENTS__SPX__VENUE: "test",
      QMTL__STORAGE__DSN: "{env: DSN}",
      QMTL_LANG: "not ours",
    });

    expect(config.gateway.port).toBe(7500);
    expect(config.accounts.main?.fee_bps).toBe(2.5);
    expect(config.sources.bars?.speed).toBe("max");
    expect(config.instruments.SPX?.venue).toBe("test");
    expect(config.storage.dsn).toEqual({ env: "DSN" });
  });
});

describe("a file that cannot be used", () => {
  test("an empty one", () => {
    expect(refusal(() => load("")).reason).toBe("CONFIG_EMPTY");
    expect(refusal(() => load("# only a comment\n")).reason).toBe("CONFIG_EMPTY");
    expect(load("{}").project.name).toBe("qmtl");
  });

  test("one that is not there, and a directory", () => {
    const cwd = folder();
    mkdirSync(join(cwd, "qmtl.yml"));

    expect(refusal(() => loadConfig({ cwd: folder(), path: "none.yml", env: {} })).reason).toBe(
      "CONFIG_NOT_FOUND",
    );
    expect(refusal(() => loadConfig({ cwd, env: {} }))).toMatchObject({
      reason: "CONFIG_UNREADABLE",
      file: join(cwd, "qmtl.yml"),
    });
  });

  test("a link to nothing, a link to itself, a path below a file, and what is no file", () => {
    const cwd = folder({ "c.yml": "{}" });
    symlinkSync(join(cwd, "none"), join(cwd, "qmtl.yml"));
    symlinkSync(join(cwd, "loop.yml"), join(cwd, "loop.yml"));

    for (const path of [undefined, "loop.yml", "c.yml/d.yml", "/dev/null"]) {
      expect(refusal(() => loadConfig({ cwd, path, env: {} })).reason).toBe("CONFIG_UNREADABLE");
    }
  });

  test("one whose aliases grow beyond measure", () => {
    const ten = (name: string) => `[${Array.from({ length: 10 }, () => name)}]`;
    const text = `a: &a ${ten("x")}\nb: &b ${ten("*a")}\nc: &c ${ten("*b")}\nd: ${ten("*c")}\n`;

    expect(refusal(() => load(text)).reason).toBe("CONFIG_NOT_YAML");
  });

  test.each([
    ["gateway:\n  port: [1\n", 3],
    ["gateway:\n  port: 1\n  port: 2\n", 3],
    ["---\n{}\n---\n{}\n", 3],
    ["gateway: {}\ngateway: {}\n", 2],
    ["just text", undefined],
    ["- a list", undefined],
  ])("one that is not a YAML mapping: %j", (text, line) => {
    const error = refusal(() => load(text));

    expect(error.reason).toBe("CONFIG_NOT_YAML");
    expect(error.issues[0]?.line).toBe(line);
  });

  test("an environment value that is not YAML names the variable", () => {
    expect(refusal(() => load("{}", { QMTL__GATEWAY__PORT: "[1" })).message).toContain(
      "QMTL__GATEWAY__PORT",
    );
  });
});

describe("a value that does not hold is reported with line and column", () => {
  test.each([
    ["gatewey:\n  port: 1\n", { path: "gatewey", line: 1, column: 1, suggestion: "gateway" }],
    ["gateway:\n  prot: 1\n", { path: "gateway.prot", line: 2, column: 3, suggestion: "port" }],
    [
      "sdk:\n  takeover: hot\n",
      {
        ...{ path: "sdk.takeover", line: 2, column: 3 },
        message: expect.stringMatching(/^unknown key; the keys here are gateway_url, /),
      },
    ],
    [
      "accounts:\n  a:\n    limits:\n      max_order: 1\n",
      { path: "accounts.a.limits.max_order", line: 4, column: 7 },
    ],
    ["gateway:\n  port: high\n", { path: "gateway.port", line: 2, column: 9 }],
    ["gateway:\n  port: 70000\n", { path: "gateway.port", line: 2, column: 9 }],
    [
      "accounts:\n  a:\n    limits: {max_order_notional: lots}\n",
      { path: "accounts.a.limits.max_order_notional", line: 3, column: 34 },
    ],
    [
      "sources:\n  b: {interval: 1d}\n",
      { path: "sources.b.file", line: 2, column: 3, message: "is required" },
    ],
    ["sources:\n  b: {file: f, interval: 2w}\n", { path: "sources.b.interval", line: 2 }],
    ["sources:\n  b: {file: f, start: 2020-02-30}\n", { path: "sources.b.start", line: 2 }],
    ["storage:\n  kind: sqlite\n", { path: "storage.kind", line: 2, column: 9 }],
    ["gateway: 5\n", { path: "gateway", line: 1, column: 10 }],
    [
      "gateway: {port: '7500'}\n",
      {
        path: "gateway.port",
        line: 1,
        message: 'must be a number, not the text "7500"; leave the quotes out',
      },
    ],
    [
      "gateway: {enforce_live_guard: yes}\n",
      {
        path: "gateway.enforce_live_guard",
        line: 1,
        message: 'must be true or false, not the text "yes"',
      },
    ],
    [
      "gateway: {port: 99999}\n",
      { path: "gateway.port", line: 1, message: "must be at most 65535" },
    ],
    [
      "project: {name: 'a'}\nsources: {b: {file: ''}}\n",
      { path: "sources.b.file", line: 2, message: "must not be empty" },
    ],
    ["gateway: {port: 7410}\n", { path: "dag_manager.port", line: 1, column: 17 }],
    [
      "bus: {brokers: 'a:1'}\n",
      { path: "bus.brokers", line: 1, message: "must be a list, such as [a, b], not text" },
    ],
    [
      "accounts: {a: {instruments: [005930]}}\n",
      {
        path: "accounts.a.instruments.0",
        line: 1,
        message: "must be text, not 5930; put it in quotes",
      },
    ],
    [
      "telemetry: {log_level: wran}\n",
      {
        path: "telemetry.log_level",
        line: 1,
        message: "must be one of debug, info, warn, error, silent",
        suggestion: "warn",
      },
    ],
    [
      "sdk: {stream_silence_ms_max: 10}\n",
      { path: "sdk.stream_silence_ms_max", line: 1, message: "must be at least 4000" },
    ],
    ["test: {history_start: tomorrow}\n", { path: "test.history_start", line: 1 }],
    [
      'instruments:\n  "X\\n": {mark_source: b}\n',
      { path: "instruments.X\n", line: 2, message: /1 to 100 printable characters/ },
    ],
    ["instruments:\n  ' X': {mark_source: b}\n", { path: "instruments. X", line: 2 }],
    [
      "test: {history_end: 202403050000}\n",
      {
        path: "test.history_end",
        line: 1,
        message:
          "not a date or time; write a date (2024-03-05), a time with its zone (2024-03-05T14:30:00Z), or the 10 digits of epoch seconds or the 13 of epoch milliseconds",
      },
    ],
    [
      "sdk:\n  # gateway_url: http://h:1\n",
      { path: "sdk", line: 1, message: "is empty: add its keys below it, or leave it out" },
    ],
    [
      "sources:\n  b:\n    file: f\n    speed: [1]\n",
      {
        path: "sources.b.speed",
        line: 4,
        message: "must be a number, not a list; or must be max",
      },
    ],
  ])("%j", (text, issue) => {
    const error = refusal(() => load(text));

    expect(error.reason).toBe("CONFIG_INVALID");
    expect(error.issues).toHaveLength(1);
    expect(error.issues[0]).toMatchObject(issue);
    expect(error.message).toContain(`qmtl.yml:${issue.line}:`);
  });

  test("what the environment left out is told with the variable that began it", () => {
    const [issue] = refusal(() => load("{}", { QMTL__SOURCES__B__START: "2021-01-04" })).issues;

    expect(issue).toMatchObject({
      path: "sources.b.file",
      message: "is required (with QMTL__SOURCES__B__START)",
    });
  });

  test("text that only looks like a number is text where a key takes text alone", () => {
    const config = load("{}", {
      QMTL__PROJECT__NAME: "007",
      QMTL__GATEWAY__ID: "1",
      QMTL__GATEWAY__PORT: "7500",
    });

    expect([config.project.name, config.gateway.id, config.gateway.port]).toEqual([
      "007",
      "1",
      7500,
    ]);
  });

  test("all issues come at once", () => {
    const error = refusal(() => load("gateway: {port: x, prot: 1}\nbus: {kind: y}\n"));

    expect(error.issues.map((issue) => issue.path).sort()).toEqual([
      "bus.kind",
      "gateway.port",
      "gateway.prot",
    ]);
  });

  test("a wrong value from the environment names the variable, not a line", () => {
    const [issue] = refusal(() =>
      load("gateway:\n  port: 1\n", { QMTL__GATEWAY__PORT: "x" }),
    ).issues;

    expect(issue?.message).toContain("QMTL__GATEWAY__PORT");
    expect(issue?.line).toBeUndefined();
  });

  test("a key of the environment that does not exist is refused, with the nearest", () => {
    const [issue] = refusal(() => load("{}", { QMTL__GATEWAY__PROT: "1" })).issues;

    expect(issue).toMatchObject({ path: "gateway.prot", suggestion: "port" });
  });

  test.each([
    ["QMTL__GATEWEY__PORT", "1", { path: "gatewey", suggestion: "gateway" }],
    ["QMTL__GATEWAY__PORT__X", "1", { path: "gateway.port" }],
    ["QMTL__GATEWAY", "1", { path: "gateway" }],
    ["QMTL__ACCOUNTS__MAIN__LIMITS__MAX_ORDER", "1", { path: "accounts.main.limits.max_order" }],
  ])("%s=%s from the environment is refused and named", (variable, value, issue) => {
    const [found] = refusal(() => load("{}", { [variable]: value })).issues;

    expect(found).toMatchObject(issue);
    expect(found?.message).toContain(`(set by ${variable})`);
  });

  test("a secret written out is refused and not repeated", () => {
    const error = refusal(() =>
      load("storage:\n  kind: postgres\n  dsn: postgres://u:hunter2@h/db\n"),
    );

    expect(error.issues[0]).toMatchObject({ path: "storage.dsn", line: 3 });
    expect(error.message).toContain("{env: NAME}");
    expect(error.message).not.toContain("hunter2");
  });
});

describe("keys that do not go together", () => {
  test.each([
    [
      "world_service: {alpha_metrics_required: true}",
      "world_service.alpha_metrics_required",
      "compat_rebalance_v2",
    ],
    ["gateway: {host: 0.0.0.0}", "gateway.host", "security.tls and security.keys"],
    [
      "gateway: {host: 0.0.0.0}\nsecurity: {tls: {cert: c, key: k}}",
      "gateway.host",
      "security.keys",
    ],
    ["storage: {kind: postgres}", "storage.dsn", "kind: postgres"],
    ["bus: {kind: kafka}", "bus.brokers", "kind: kafka"],
    ["bus: {kind: embedded, brokers: ['a:1']}", "bus.brokers", "kind: kafka"],
    ["dag_manager: {node_renew_ms: 4000}", "dag_manager.node_lease_ms", "3 · node_renew_ms"],
    [
      "world_service: {default_lease: {margin_ms: 100}}",
      "world_service.default_lease.margin_ms",
      "emit_max_ms",
    ],
    ["gateway: {web_port: 7410}", "dag_manager.port", "gateway.web_port"],
    ["telemetry: {metrics_port: 7401}", "telemetry.metrics_port", "gateway.web_port"],
    ["instruments: {X: {mark_source: bars}}", "instruments.X.mark_source", "bars"],
    ["accounts: {a: {instruments: [X]}}", "accounts.a.instruments.0", "X"],
    [
      "sources: {b: {file: f}}\ninstruments: {X: {mark_source: b, quote_currency: EUR}}\naccounts: {a: {instruments: [X]}}",
      "accounts.a.instruments.0",
      "X is quoted in EUR, but the account is in USD, and money is not converted",
    ],
    [
      "sources: {b: {file: f}}\ninstruments: {X: {mark_source: b}, Y: {mark_source: b, quote_currency: KRW}}\naccounts: {a: {currency: KRW, instruments: [Y, X]}}",
      "accounts.a.instruments.1",
      "X is quoted in USD, but the account is in KRW",
    ],
    ["sources: {b: {file: f, until: start}}", "sources.b.until", "start"],
    ["sources: {b: {file: f, start: 2020-01-02, until: 2020-01-01}}", "sources.b.until", "before"],
    ["sources: {b: {file: f, interval: 1mo, schedule: continuous}}", "sources.b.schedule", "1mo"],
    ["sources: {b: {file: f, sparse: true, schedule: continuous}}", "sources.b.schedule", "sparse"],
    ["sources: {b: {file: f, sparse: true, history_file: h}}", "sources.b.sparse", "one `file`"],
  ])("%s", (text, path, message) => {
    const error = refusal(() => load(text));

    expect(error.issues).toHaveLength(1);
    expect(error.issues[0]?.path).toBe(path);
    expect(error.issues[0]?.message).toContain(message);
  });

  test("a public host with TLS and keys is fine", () => {
    const security =
      "{tls: {cert: c, key: k}, keys: {a: {principal: p, role: owner, secret: {env: K}}}}";

    expect(load(`gateway: {host: 0.0.0.0}\nsecurity: ${security}`).gateway.host).toBe("0.0.0.0");
  });
});

describe("secrets", () => {
  const file = (text: string, mode: number) => {
    const path = join(folder({ key: text }), "key");
    chmodSync(path, mode);
    return { file: path };
  };

  test("are fetched by reference, and a missing one is named", () => {
    const env = { A: "x" };

    expect(resolveSecret({ env: "A" }, { env })).toBe("x");
    expect(resolveSecret(file("y\n", 0o600))).toBe("y");
    expect(refusal(() => resolveSecret({ env: "B" }, { env })).message).toContain("B");
    expect(refusal(() => resolveSecret({ file: "/none" })).reason).toBe("SECRET_UNAVAILABLE");
  });

  test("in a file that everybody can read are refused, in one of a group they are not", () => {
    const exposed = refusal(() =>
      resolveSecret(file("y", 0o644), { key: "security.keys.a.secret" }),
    );

    expect(exposed.reason).toBe("SECRET_EXPOSED");
    expect(exposed.issues[0]).toMatchObject({ path: "security.keys.a.secret" });
    expect(exposed.message).toContain("chmod 600");
    expect(resolveSecret(file("y", 0o640))).toBe("y");
  });

  test("whose path is a directory are refused as that, not as a file to chmod", () => {
    const directory = folder({});

    const refused = refusal(() => resolveSecret({ file: directory }));

    expect(refused.reason).toBe("SECRET_UNAVAILABLE");
    expect(refused.message).toContain(`${directory} is a directory, not a file`);
    expect(refused.message).not.toContain("chmod");
  });

  test("that are shorter than asked for are refused with their length, in bytes", () => {
    const options = { env: { A: "ü".repeat(7), B: "ü".repeat(8) }, bytesMin: secretBytesMin };

    const short = refusal(() => resolveSecret({ env: "A" }, options));

    expect(short.reason).toBe("SECRET_TOO_SHORT");
    expect(short.message).toContain("14 bytes; at least 16 are required");
    expect(resolveSecret({ env: "B" }, options)).toBe("ü".repeat(8));
  });
});

describe("values that follow others while they are left out", () => {
  const explained = (text: string, key: string, env = {}) =>
    explainConfig(key, { cwd: folder({ "qmtl.yml": text }), env });

  test("the type of a section of named entries says what an entry has", () => {
    expect(explained("{}", "security.keys").type).toMatch(/^\{NAME: \{.*role.*\}\}$/);
    expect(explained("{}", "accounts").type).toMatch(/^\{NAME: \{broker, .*\}\}$/);
  });

  test("test mode shortens the waits that were not set, and says so", () => {
    const text = "test: {test_mode: true}\nsdk: {poll_interval_ms: 700}\n";

    expect(load(text).sdk).toMatchObject({
      request_timeout_ms: 1_500,
      stream_silence_ms_max: 5_000,
      stream_total_ms_max: 5_000,
      poll_interval_ms: 700,
    });
    expect(explained(text, "sdk.request_timeout_ms")).toMatchObject({
      default: 2_000,
      value: 1_500,
      origin: "test.test_mode",
    });
    expect(explained(text, "sdk.poll_interval_ms")).toMatchObject({ value: 700 });
    expect(explained(text, "sdk.poll_interval_ms").origin).toMatch(/qmtl\.yml:2:7$/);
    expect(explained("{}", "test.test_mode").sets).toEqual({
      "sdk.request_timeout_ms": 1_500,
      "sdk.stream_silence_ms_max": 5_000,
      "sdk.stream_total_ms_max": 5_000,
      "sdk.poll_interval_ms": 2_000,
    });
    const set = { QMTL__SDK__STREAM_TOTAL_MS_MAX: "null" };
    expect(load(text, set).sdk.stream_total_ms_max).toBeNull();
  });

  test("the gateway's address follows where it listens", () => {
    const secured =
      "security: {tls: {cert: c, key: k}, keys: {a: {principal: p, role: owner, secret: {env: K}}}}";
    const url = (text: string) => load(text).sdk.gateway_url;

    expect(url("gateway: {port: 7500}")).toBe("http://127.0.0.1:7500");
    expect(url(`gateway: {host: 0.0.0.0}\n${secured}`)).toBe("https://127.0.0.1:7400");
    expect(url(`gateway: {host: "::"}\n${secured}`)).toBe("https://[::1]:7400");
    expect(url(`gateway: {host: gw.example, port: 1}\n${secured}`)).toBe("https://gw.example:1");
    expect(url('gateway: {port: 7500}\nsdk: {gateway_url: "http://h:1"}')).toBe("http://h:1");
    expect(explained("gateway: {port: 7500}", "sdk.gateway_url")).toMatchObject({
      default: "http://127.0.0.1:7400",
      value: "http://127.0.0.1:7500",
      origin: "gateway.port",
    });
    expect(explained("{}", "sdk.gateway_url").origin).toBe("default");
  });

  test("the gateway looks for the services behind it where they listen, unless it is told", () => {
    const url = (text: string) => load(text).gateway.dag_manager_url;
    expect(url("{}")).toBe("http://127.0.0.1:7410");
    expect(url("dag_manager: {port: 7510}")).toBe("http://127.0.0.1:7510");
    expect(url("dag_manager: {host: localhost}")).toBe("http://localhost:7410");
    expect(load("world_service: {port: 7520}").gateway.world_service_url).toBe(
      "http://127.0.0.1:7520",
    );
    const told = 'dag_manager: {port: 7510}\ngateway: {dag_manager_url: "http://dag:1"}';
    expect(url(told)).toBe("http://dag:1");
    expect(explained("dag_manager: {port: 7510}", "gateway.dag_manager_url")).toMatchObject({
      value: "http://127.0.0.1:7510",
      origin: "dag_manager.port",
    });
  });

  test("the old trade_mode names an execution domain, and must not contradict one", () => {
    expect(load("sdk: {trade_mode: paper}").sdk.execution_domain).toBe("dryrun");
    expect(load("sdk: {trade_mode: live}").sdk.execution_domain).toBe("live");
    expect(load("sdk: {trade_mode: paper, execution_domain: null}").sdk.execution_domain).toBe(
      "dryrun",
    );
    expect(load("sdk: {trade_mode: paper, execution_domain: dryrun}").sdk.trade_mode).toBe("paper");
    expect(explained("sdk: {trade_mode: paper}", "sdk.execution_domain").origin).toBe(
      "sdk.trade_mode",
    );
    const error = refusal(() => load("sdk:\n  trade_mode: paper\n  execution_domain: live\n"));
    expect(error.issues).toMatchObject([{ path: "sdk.trade_mode", line: 2 }]);
    expect(error.message).toContain("means execution_domain: dryrun, but that is live");
  });

  test("what is loaded is what is explained, for every such key", () => {
    const text = `test: {test_mode: true}
gateway: {port: 7500}
dag_manager: {port: 7510}
world_service: {port: 7520}
sdk: {trade_mode: paper}
`;
    const config = load(text);

    for (const key of derivedKeys) {
      const { value, origin } = explained(text, key);
      const [section = "", name = ""] = key.split(".");
      const loaded: unknown = Reflect.get(Reflect.get(config, section), name);
      expect({ [key]: value }).toEqual({ [key]: loaded });
      expect(origin).not.toBe("default");
    }
  });
});

describe("explaining", () => {
  test("every key has a type, and a default unless it is needed", () => {
    const ofEntries = ["file", "mark_source", "source", "column", "principal", "role", "secret"];
    const needed = new Set([...ofEntries, "cert", "key"]);
    const faults = leafKeys().filter((key) => {
      const { type, default: byDefault } = explainConfig(key.replaceAll("*", "x"), {
        cwd: folder(),
        env: {},
      });
      const isNeeded = needed.has(key.split(".").at(-1) ?? "");
      return type === "any" || (byDefault === undefined) !== isNeeded;
    });

    expect(faults).toEqual([]);
  });

  test("a range is told, and that an entry does not exist", () => {
    const at = (key: string) => explainConfig(key, { cwd: folder(), env: {} });

    expect(at("gateway.port").range).toBe("1 to 65535");
    expect(at("telemetry.metrics_port").range).toBe("1 to 65535");
    expect(at("gateway.host").range).toBeUndefined();
    expect(at("accounts.nope.limits.max_order_notional").origin).toBe("no entry accounts.nope");
  });

  test("gives type, default, meaning, value and where the value came from", () => {
    const cwd = folder({ "qmtl.yml": "gateway:\n  port: 7500\n" });
    const at = (key: string, env = {}) => explainConfig(key, { cwd, env });

    expect(at("gateway.port")).toEqual({
      key: "gateway.port",
      type: "integer",
      range: "1 to 65535",
      default: 7400,
      description: "Port of the gRPC server.",
      value: 7500,
      origin: `${join(cwd, "qmtl.yml")}:2:3`,
    });
    expect(at("gateway.port", { QMTL__GATEWAY__PORT: "1" })).toMatchObject({
      value: 1,
      origin: "QMTL__GATEWAY__PORT",
    });
    expect(at("storage.kind")).toMatchObject({
      type: '"embedded" | "postgres"',
      value: "embedded",
      origin: "default",
    });
    expect(at("telemetry.metrics_port").type).toBe("integer | null");
  });

  test("an unknown key is answered with the nearest", () => {
    const error = refusal(() => explainConfig("gateway.prot", { cwd: folder(), env: {} }));

    expect(error.issues[0]?.suggestion).toBe("gateway.port");
  });

  test("every key has a description", () => {
    const bare = leafKeys().filter((key) => {
      const schema = schemaAt(key.split("."));
      return schema === undefined || descriptionOf(schema) === "";
    });

    expect(bare).toEqual([]);
    expect(leafKeys().length).toBeGreaterThan(60);
  });

  test("the JSON schema has the sections, the defaults and no room for unknown keys", () => {
    const schema = configJsonSchema();

    expect(schema).toMatchObject({
      additionalProperties: false,
      properties: {
        gateway: {
          properties: { port: { default: 7400, type: "integer" } },
          additionalProperties: false,
        },
      },
    });
    expect(schema.required).toBeUndefined();
  });
});

describe("faults planted in the paper broker", () => {
  const planted = (faults: string, more = "", testMode = true) =>
    `accounts:\n  main: {faults: ${faults}}\n${more}\ntest: {test_mode: ${testMode}}\n`;

  test("are taken in test mode, by count or by date", () => {
    const counted = load(planted('["lose_reply:*:3"]'));
    const dated = load(planted('["lose_reply:s-1:2015-08-07"]'));

    expect(counted.accounts.main?.faults).toEqual(["lose_reply:*:3"]);
    expect(dated.accounts.main?.faults).toEqual(["lose_reply:s-1:2015-08-07"]);
    expect(load("accounts: {main: {}}").accounts.main?.faults).toEqual([]);
  });

  test("are refused without test mode, at their place", () => {
    expect(refusal(() => load(planted('["lose_reply:*:3"]', "", false)))).toMatchObject({
      reason: "CONFIG_INVALID",
      issues: [{ path: "accounts.main.faults", line: 2, message: "needs test.test_mode: true" }],
    });
  });

  test("are refused when they cannot be read, are many, or could hit another account", () => {
    for (const faults of [
      '["lose_reply:*:0"]',
      '["other:*:1"]',
      '["lose_reply:*:1", "lose_reply:*:2"]',
    ]) {
      expect(refusal(() => load(planted(faults))).reason).toBe("CONFIG_INVALID");
    }
    expect(refusal(() => load(planted('["lose_reply:*:3"]', "  other: {}"))).message).toContain(
      "only if `accounts` has exactly one entry",
    );
  });
});

describe("addresses of which one leads", () => {
  test("are a list in the file, or one text with commas; both become the text", () => {
    const listed = load("sdk: {gateway_url: [http://a:1, http://b:2]}");
    const text = load('sdk: {gateway_url: "http://a:1,http://b:2"}');

    expect(listed.sdk.gateway_url).toBe("http://a:1,http://b:2");
    expect(text.sdk.gateway_url).toBe(listed.sdk.gateway_url);
    expect(load("gateway: {dag_manager_url: [http://a:1]}").gateway.dag_manager_url).toBe(
      "http://a:1",
    );
  });

  test("are refused where one of them is none", () => {
    for (const urls of ["[http://a:1, nowhere]", '"http://a:1,nowhere"', "[]"]) {
      expect(refusal(() => load(`sdk: {gateway_url: ${urls}}`))).toMatchObject({
        issues: [
          {
            path: "sdk.gateway_url",
            message: "not an http or https address, nor a list of such addresses",
          },
        ],
      });
    }
  });
});

describe("origins of web pages", () => {
  test("are none unless named, in the file or in the environment", () => {
    const named = "gateway: {web_origins: ['http://localhost:5173', 'https://desk.example']}";
    const env = { QMTL__GATEWAY__WEB_ORIGINS: "['http://[::1]:8080']" };

    expect(load("{}").gateway.web_origins).toEqual([]);
    expect(load(named).gateway.web_origins).toEqual([
      "http://localhost:5173",
      "https://desk.example",
    ]);
    expect(load("{}", env).gateway.web_origins).toEqual(["http://[::1]:8080"]);
  });

  test.each([
    ["*", "every web page"],
    ["https://*.desk.example", "every web page"],
    ["null", "scheme://host"],
    ["localhost:5173", "scheme://host"],
    ["file:///home/page.html", "scheme://host"],
    ["http://localhost:5173/", "as a browser sends it: http://localhost:5173"],
    ["http://localhost:5173/app", "as a browser sends it: http://localhost:5173"],
    ["HTTPS://Desk.Example:443", "as a browser sends it: https://desk.example"],
    ["https://user:word@desk.example", "as a browser sends it: https://desk.example"],
    ["", "scheme://host"],
  ])("%j is refused at its place in the list", (origin, message) => {
    const error = refusal(() =>
      load(`gateway: {web_origins: ["https://fine.example", ${JSON.stringify(origin)}]}`),
    );

    expect(error.reason).toBe("CONFIG_INVALID");
    expect(error.issues).toHaveLength(1);
    expect(error.issues[0]?.path).toBe("gateway.web_origins.1");
    expect(error.issues[0]?.message).toContain(message);
  });

  test("a single text is refused: it is a list", () => {
    const error = refusal(() => load('gateway: {web_origins: "http://localhost:5173"}'));

    expect(error.issues[0]).toMatchObject({ path: "gateway.web_origins" });
    expect(error.issues[0]?.message).toContain("a list");
  });
});
