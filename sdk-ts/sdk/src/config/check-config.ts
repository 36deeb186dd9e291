import { calendarName } from "@qmtl/core/intervals";
import { isLoopbackHost } from "../rpc/loopback-host.ts";
import { parseInterval } from "../sources/parse-interval.ts";
import { parseTimeText } from "../sources/parse-time.ts";
import type { QmtlConfig } from "./config-schema.ts";
import { domainOfTradeMode } from "./derived-values.ts";

/** A rule that two or more keys break together, reported at the key to change. */
export interface ConfigConflict {
  readonly path: readonly string[];
  readonly message: string;
  /** The other key, where it may be the one to change. */
  readonly also?: readonly string[];
}

/** Checks the rules that span several keys. */
export function checkConfig(config: QmtlConfig): ConfigConflict[] {
  return [
    ...checkSources(config),
    ...checkReferences(config),
    ...checkAccountMoney(config),
    ...checkFaults(config),
    ...checkTimers(config),
    ...checkPlatform(config),
    ...checkExposure(config),
    ...checkExecutionDomain(config),
  ];
}

function* checkSources(config: QmtlConfig): Generator<ConfigConflict> {
  for (const [name, source] of Object.entries(config.sources)) {
    const { start, until, sparse } = source;
    const at = (key: string) => ["sources", name, key];
    const isCalendar = isCalendarInterval(source.interval);
    if (source.schedule === "continuous" && (sparse || isCalendar)) {
      const what = sparse ? "sparse bars" : `bars of ${source.interval}`;
      yield { path: at("schedule"), message: `${what} have no continuous schedule` };
    }
    if (sparse && source.history_file !== null) {
      const message =
        "needs all rows in one `file`: nothing says when the last bar of a history ended";
      yield { path: at("sparse"), message, also: at("history_file") };
    }
    const path = ["sources", name, "until"];
    if (until === "start" && start === null) {
      yield { path, message: "`until: start` needs `start`" };
    } else if (until !== null && until !== "start" && start !== null) {
      if (parseTimeText(until) < parseTimeText(start)) yield { path, message: "is before `start`" };
    }
  }
}

function isCalendarInterval(interval: string | number): boolean {
  try {
    return calendarName(parseInterval(interval)) !== undefined;
  } catch {
    return false; // the schema reports that it is not an interval
  }
}

function* checkReferences(config: QmtlConfig): Generator<ConfigConflict> {
  for (const [symbol, { mark_source, funding }] of Object.entries(config.instruments)) {
    const named = [
      { source: mark_source, path: ["instruments", symbol, "mark_source"] },
      ...(funding === null
        ? []
        : [{ source: funding.source, path: ["instruments", symbol, "funding", "source"] }]),
    ];
    for (const { source, path } of named) {
      if (!Object.hasOwn(config.sources, source))
        yield { path, message: `"${source}" is not an entry of sources` };
    }
    if (funding !== null) yield* checkFundingColumn(symbol, funding, config);
  }
  for (const [id, { instruments, currency }] of Object.entries(config.accounts)) {
    for (const [index, symbol] of instruments.entries()) {
      const path = ["accounts", id, "instruments", String(index)];
      if (!Object.hasOwn(config.instruments, symbol)) {
        yield { path, message: `"${symbol}" is not an entry of instruments` };
        continue;
      }
      const { quote_currency: quote } = config.instruments[symbol]!;
      if (quote === currency) continue;
      const also = ["instruments", symbol, "quote_currency"];
      const message = `${symbol} is quoted in ${quote}, but the account is in ${currency}, and money is not converted: list it in an account in ${quote}`;
      yield { path, message, also };
    }
  }
}

/** A source that reads some columns alone must read that of the rates. */
function* checkFundingColumn(
  symbol: string,
  { source, column }: NonNullable<QmtlConfig["instruments"][string]["funding"]>,
  { sources }: QmtlConfig,
): Generator<ConfigConflict> {
  const read = sources[source]?.columns ?? null;
  if (read === null || read.some((name) => name.toLowerCase() === column.toLowerCase())) return;
  const message = `"${column}" is not among the columns that source ${source} reads, ${read.join(", ")}`;
  const also = ["sources", source, "columns"];
  yield { path: ["instruments", symbol, "funding", "column"], message, also };
}

/** What an account and its instruments say of money must act: an account without instruments, or a rule that never can. */
function* checkAccountMoney(config: QmtlConfig): Generator<ConfigConflict> {
  const symbols = Object.keys(config.instruments);
  for (const [id, account] of Object.entries(config.accounts)) {
    const { kind, leverage_max, instruments } = account;
    if (instruments.length === 0 && symbols.length > 0) {
      const message = `is empty, so the account trades nothing: list what it trades of ${symbols.slice(0, 5).join(", ")}${symbols.length > 5 ? ", …" : ""}, or leave the account out`;
      yield { path: ["accounts", id, "instruments"], message };
    }
    if (kind === "cash" && (leverage_max ?? 1) > 1) {
      const message = `is ${leverage_max}, but an account of kind cash has no more than 1`;
      yield { path: ["accounts", id, "leverage_max"], message };
    }
    const most = leverage_max ?? 1;
    if (account.maintenance * most >= 1) {
      const message = `is ${account.maintenance}, and at the leverage_max ${most} of the account equity is never above ${1 / most} of its exposure: it must be below that`;
      yield { path: ["accounts", id, "maintenance"], message };
    }
    yield* checkFinancing(id, account);
    for (const symbol of instruments) {
      const own = config.instruments[symbol]?.leverage_max ?? null;
      if (own === null || own <= most) continue;
      const message = `is ${own}, beyond the leverage_max ${most} of account ${id}, which lists the instrument: lower it, or raise accounts.${id}.leverage_max`;
      yield { path: ["instruments", symbol, "leverage_max"], message };
    }
  }
}

function* checkFinancing(
  id: string,
  { kind, cash_rate, debit_rate, borrow_rate, day_count, zone }: QmtlConfig["accounts"][string],
): Generator<ConfigConflict> {
  const at = (key: string) => ["accounts", id, key];
  if (kind === "cash" && borrow_rate > 0) {
    const message = `is ${borrow_rate}, but an account of kind cash sells nothing short: leave it out`;
    yield { path: at("borrow_rate"), message };
  }
  if (cash_rate !== 0 || debit_rate !== 0 || borrow_rate !== 0) return;
  const unused =
    "does nothing, since no rate of the account is other than 0: leave it out, or state";
  const rates = "cash_rate, debit_rate or borrow_rate";
  if (day_count !== 360) yield { path: at("day_count"), message: `${unused} ${rates}` };
  if (zone !== "UTC") yield { path: at("zone"), message: `${unused} ${rates}` };
}

/** A process that may trade for real must not carry a planted fault. */
function* checkFaults(config: QmtlConfig): Generator<ConfigConflict> {
  for (const [id, { faults }] of Object.entries(config.accounts)) {
    if (faults.length === 0) continue;
    const path = ["accounts", id, "faults"];
    if (!config.test.test_mode) yield { path, message: "needs test.test_mode: true" };
    // A fault of the broker names a strategy but no account.
    if (Object.keys(config.accounts).length > 1) {
      yield { path, message: "is allowed only if `accounts` has exactly one entry" };
    }
  }
}

function* checkTimers(config: QmtlConfig): Generator<ConfigConflict> {
  const node = config.dag_manager;
  if (node.node_lease_ms < 3 * node.node_renew_ms + node.node_margin_ms) {
    const message = "must be at least 3 · node_renew_ms + node_margin_ms";
    yield { path: ["dag_manager", "node_lease_ms"], message };
  }
  if (node.node_margin_ms < 0.02 * node.node_lease_ms + 300) {
    const message = "must be at least 2 % of node_lease_ms + 300 ms";
    yield { path: ["dag_manager", "node_margin_ms"], message };
  }
  const order = config.world_service.default_lease;
  const at = (key: string) => ["world_service", "default_lease", key];
  if (order.lease_ms < 3 * order.renew_ms + order.margin_ms) {
    yield { path: at("lease_ms"), message: "must be at least 3 · renew_ms + margin_ms" };
  }
  if (order.margin_ms < 0.02 * order.lease_ms + order.emit_max_ms) {
    yield { path: at("margin_ms"), message: "must be at least 2 % of lease_ms + emit_max_ms" };
  }
  if (order.freeze_timeout_ms < 2 * order.lease_ms + order.switch_ack_ms) {
    yield {
      path: at("freeze_timeout_ms"),
      message: "must be at least 2 · lease_ms + switch_ack_ms",
    };
  }
  if (order.session_dead_ms < 2 * order.renew_ms || order.session_dead_ms >= order.switch_ack_ms) {
    const message = "must be at least 2 · renew_ms and below switch_ack_ms";
    yield { path: at("session_dead_ms"), message };
  }
}

function* checkPlatform(config: QmtlConfig): Generator<ConfigConflict> {
  if (config.world_service.alpha_metrics_required && !config.world_service.compat_rebalance_v2) {
    const path = ["world_service", "alpha_metrics_required"];
    yield { path, message: "needs world_service.compat_rebalance_v2: true" };
  }
  if (config.storage.kind === "postgres" && config.storage.dsn === null) {
    yield { path: ["storage", "dsn"], message: "is needed with kind: postgres" };
  }
  if (config.bus.kind === "kafka" && config.bus.brokers.length === 0) {
    yield { path: ["bus", "brokers"], message: "is needed with kind: kafka" };
  }
  if (config.bus.kind !== "kafka" && config.bus.brokers.length > 0) {
    yield { path: ["bus", "brokers"], message: "does nothing without kind: kafka" };
  }
}

/** A service that listens beyond loopback can be reached by anybody: it needs keys and TLS. */
function* checkExposure(config: QmtlConfig): Generator<ConfigConflict> {
  const missing = [
    ...(config.security.tls === null ? ["security.tls"] : []),
    ...(Object.keys(config.security.keys).length === 0 ? ["security.keys"] : []),
  ].join(" and ");
  const seen = new Map<number, readonly [string, string]>();
  for (const service of ["gateway", "dag_manager", "world_service"] as const) {
    const { host, port } = config[service];
    if (!isLoopbackHost(host) && missing !== "") {
      const message = `"${host}" can be reached from other machines, which needs ${missing}`;
      yield { path: [service, "host"], message };
    }
    const servers: [string, number][] = [["port", port]];
    if (service === "gateway") servers.push(["web_port", config.gateway.web_port]);
    for (const [key, number] of servers) {
      const other = seen.get(number);
      if (other !== undefined)
        yield {
          path: [service, key],
          message: `${number} is ${other.join(".")}, too`,
          also: other,
        };
      seen.set(number, [service, key]);
    }
  }
  const { metrics_port: page } = config.telemetry;
  const other = page === null ? undefined : seen.get(page);
  if (other !== undefined)
    yield { path: ["telemetry", "metrics_port"], message: `${page} is ${other.join(".")}, too` };
}

function* checkExecutionDomain({ sdk }: QmtlConfig): Generator<ConfigConflict> {
  const { trade_mode, execution_domain } = sdk;
  if (trade_mode === null || execution_domain === null) return;
  const means = domainOfTradeMode(trade_mode);
  if (means === execution_domain) return;
  const message = `means execution_domain: ${means}, but that is ${execution_domain}; leave trade_mode out`;
  yield { path: ["sdk", "trade_mode"], message };
}
