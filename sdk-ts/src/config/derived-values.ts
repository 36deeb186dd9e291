import type { QmtlConfig } from "./config-schema.ts";

type SdkConfig = QmtlConfig["sdk"];
type SdkKey = keyof SdkConfig;

/** A value that comes neither from its author nor from the schema, but from other keys. */
export interface DerivedValue {
  /** Key with dots. */
  readonly key: `sdk.${SdkKey}`;
  readonly value: SdkConfig[SdkKey];
  /** The keys it comes from. */
  readonly origin: string;
}

/** Waits of a run with `test.test_mode`, where the author set none: short, so that no test hangs. */
export const testBudgets = {
  request_timeout_ms: 1_500,
  stream_silence_ms_max: 5_000,
  stream_total_ms_max: 5_000,
  poll_interval_ms: 2_000,
} as const satisfies Partial<SdkConfig>;

/** Keys whose value follows other keys while it is left out. */
export const derivedKeys: readonly DerivedValue["key"][] = [
  "sdk.gateway_url",
  "sdk.execution_domain",
  ...testBudgetValues().map(({ key }) => key),
];

/**
 * The values that follow from others. The only place that decides this, for those who load and those who explain.
 *
 * @param isSet whether the author, in the file or the environment, set a key
 */
export function derivedValues(
  config: QmtlConfig,
  isSet: (path: readonly string[]) => boolean,
): DerivedValue[] {
  return [
    ...gatewayUrl(config, isSet),
    ...executionDomain(config),
    ...budgets(config).filter(({ key }) => !isSet(key.split("."))),
  ];
}

/** The section `sdk` with the derived values put in. */
export function withDerived(sdk: SdkConfig, derived: readonly DerivedValue[]): SdkConfig {
  return { ...sdk, ...Object.fromEntries(derived.map(({ key, value }) => [key.slice(4), value])) };
}

function* gatewayUrl(
  config: QmtlConfig,
  isSet: (path: readonly string[]) => boolean,
): Generator<DerivedValue> {
  if (isSet(["sdk", "gateway_url"])) return;
  const sources = [
    ["gateway", "host"],
    ["gateway", "port"],
    ["security", "tls"],
  ].filter(isSet);
  if (sources.length === 0) return;
  const { host, port } = config.gateway;
  const scheme = config.security.tls === null ? "http" : "https";
  const value = `${scheme}://${callableHost(host)}:${port}`;
  if (!URL.canParse(value)) return;
  const origin = sources.map((path) => path.join(".")).join(", ");
  yield { key: "sdk.gateway_url", value, origin };
}

/** How a listener's host is called from the same machine. */
function callableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

function* executionDomain({ sdk }: QmtlConfig): Generator<DerivedValue> {
  if (sdk.trade_mode === null || sdk.execution_domain !== null) return;
  const value = domainOfTradeMode(sdk.trade_mode);
  yield { key: "sdk.execution_domain", value, origin: "sdk.trade_mode" };
}

/** The domain an old `trade_mode` means. */
export function domainOfTradeMode(mode: "paper" | "live"): "dryrun" | "live" {
  return mode === "paper" ? "dryrun" : "live";
}

function budgets({ test }: QmtlConfig): DerivedValue[] {
  return test.test_mode ? testBudgetValues() : [];
}

/** What `test.test_mode` sets. */
export function testBudgetValues(): DerivedValue[] {
  return Object.entries(testBudgets).map(([name, value]) => {
    const key = `sdk.${name as keyof typeof testBudgets}` as const;
    return { key, value, origin: "test.test_mode" };
  });
}
