import type { QmtlConfig } from "./config-schema.ts";

type SdkConfig = QmtlConfig["sdk"];

/** Keys of the addresses that the gateway calls, by the section of the service that listens there. */
const services = {
  dag_manager: "gateway.dag_manager_url",
  world_service: "gateway.world_service_url",
} as const;

/** A value that comes neither from its author nor from the schema, but from other keys. */
export interface DerivedValue {
  /** Dotted key: a section and one of its keys. */
  readonly key: `sdk.${keyof SdkConfig}` | (typeof services)[keyof typeof services];
  readonly value: SdkConfig[keyof SdkConfig];
  /** The keys it comes from. */
  readonly origin: string;
}

/** Timeouts and intervals of a run with `test.test_mode` where the author set none: short, so that no test hangs. */
const testBudgets = {
  request_timeout_ms: 1_500,
  stream_silence_ms_max: 5_000,
  stream_total_ms_max: 5_000,
  poll_interval_ms: 2_000,
} as const satisfies Partial<SdkConfig>;

/** Keys whose value follows other keys while it is left out. */
export const derivedKeys: readonly DerivedValue["key"][] = [
  "sdk.gateway_url",
  ...Object.values(services),
  "sdk.execution_domain",
  ...testBudgetValues().map(({ key }) => key),
];

/**
 * The values that follow from other keys. Loading and explaining a configuration both use this function, so they agree.
 *
 * @param isSet whether the author, in the file or the environment, set a key
 */
export function derivedValues(
  config: QmtlConfig,
  isSet: (path: readonly string[]) => boolean,
): DerivedValue[] {
  return [
    ...addressOf("gateway", "sdk.gateway_url", config, isSet),
    ...addressOf("dag_manager", services.dag_manager, config, isSet),
    ...addressOf("world_service", services.world_service, config, isSet),
    ...executionDomain(config),
    ...budgets(config).filter(({ key }) => !isSet(key.split("."))),
  ];
}

/** The configuration with the derived values filled in. */
export function withDerived(config: QmtlConfig, derived: readonly DerivedValue[]): QmtlConfig {
  const valuesOf = (section: "gateway" | "sdk"): Record<string, unknown> =>
    Object.fromEntries(
      derived
        .filter(({ key }) => key.startsWith(`${section}.`))
        .map(({ key, value }) => [key.slice(section.length + 1), value]),
    );
  return {
    ...config,
    gateway: { ...config.gateway, ...valuesOf("gateway") },
    sdk: { ...config.sdk, ...valuesOf("sdk") },
  };
}

/** The address at which a service is called, derived from the address it listens on. */
function* addressOf(
  section: "gateway" | keyof typeof services,
  key: DerivedValue["key"],
  config: QmtlConfig,
  isSet: (path: readonly string[]) => boolean,
): Generator<DerivedValue> {
  if (isSet(key.split("."))) return;
  const sources = [
    [section, "host"],
    [section, "port"],
    ["security", "tls"],
  ].filter(isSet);
  if (sources.length === 0) return;
  const { host, port } = config[section];
  const scheme = config.security.tls === null ? "http" : "https";
  const value = `${scheme}://${callableHost(host)}:${port}`;
  if (!URL.canParse(value)) return;
  const origin = sources.map((path) => path.join(".")).join(", ");
  yield { key, value, origin };
}

/** The host by which a listener is reached from the same machine. */
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

/** The execution domain that the deprecated `trade_mode` stands for. */
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
