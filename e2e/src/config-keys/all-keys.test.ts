import { readFileSync } from "node:fs";
import { leafKeys } from "@qmtl/sdk/config";
import { expect, test } from "vitest";
import { laneCases, otherLanes } from "./data-lanes.ts";

const root = new URL("../../../", import.meta.url);
const here = "e2e/src/config-keys";

/**
 * Keys by the file of the test that shows what they do. The file names each: by its last word, as an option, as a variable,
 * or by the word after `#`.
 */
const shownIn: Readonly<Record<string, readonly string[]>> = {
  [`${here}/data-lanes.ts`]: [...Object.keys(laneCases), ...Object.keys(otherLanes)],
  "cli/src/commands/doctor.test.ts": ["project.name"],
  [`${here}/data-keys.test.ts`]: [
    "sources.*.adapter",
    "accounts.*.broker",
    "test.history_start",
    "test.history_end",
  ],
  "services/world-service/src/world-service.test.ts": ["instruments.*.venue"],
  "sdk-ts/sdk/src/runner/offline/market.test.ts": [
    "instruments.*.quote_currency",
    "instruments.*.mark_source",
    "accounts.*.currency",
  ],
  [`${here}/service-keys.test.ts`]: [
    "accounts.*.reconcile_interval_ms",
    "gateway.web_port",
    "gateway.web_origins",
    "gateway.ticket_ttl_seconds",
    "gateway.enforce_live_guard",
    "dag_manager.node_lease_ms",
    "dag_manager.node_renew_ms",
    "dag_manager.node_margin_ms",
    "world_service.default_lease.lease_ms",
    "world_service.default_lease.renew_ms",
    "world_service.default_lease.margin_ms",
    "world_service.default_lease.emit_max_ms",
    "world_service.default_lease.freeze_timeout_ms",
    "world_service.default_lease.switch_ack_ms",
    "world_service.default_lease.session_dead_ms",
    "storage.data_dir",
    "telemetry.metrics_port",
  ],
  "e2e/src/control/subscriber.test.ts": ["accounts.*.faults"],
  "services/gateway/src/instances/account-lease-store.test.ts#gatewayId": ["gateway.id"],
  "services/embedded/src/start-platform.test.ts": [
    "gateway.host",
    "security.tls.cert",
    "security.tls.key",
  ],
  "e2e/src/harness/start-stack.ts": ["gateway.port", "dag_manager.port", "world_service.port"],
  "e2e/src/distributed/start-pairs.ts": [
    "gateway.dag_manager_url",
    "gateway.world_service_url",
    "security.gateways.*.secret",
  ],
  "cli/src/main.test.ts": ["gateway.rebalance_schema_version"],
  "services/embedded/src/start-service.test.ts": ["dag_manager.host", "world_service.host"],
  "services/world-service/src/rpc/rebalance-version.test.ts": [
    "world_service.compat_rebalance_v2",
    "world_service.alpha_metrics_required",
  ],
  "e2e/src/distributed/distributed.test.ts": [
    "storage.kind",
    "storage.dsn",
    "bus.kind",
    "bus.brokers",
  ],
  "services/kit/src/bus/kafka-bus.test.ts": ["bus.topic_prefix"],
  "services/embedded/src/testing/keyed-platform.ts": [
    "security.keys.*.principal",
    "security.keys.*.secret",
  ],
  "services/embedded/src/roles.test.ts": ["security.keys.*.role"],
  "sdk-ts/sdk/src/config/client-tls.test.ts": ["security.ca_file"],
  "e2e/src/bad-input/interrupted.test.ts": ["telemetry.log_level"],
  "sdk-ts/sdk/src/runner/offline/tags.test.ts": ["cache.tagquery_cache_path"],
  "cli/src/commands/run-online.test.ts": ["sdk.gateway_url"],
  "examples/dryrun-live-switch/smoke.test.ts": ["sdk.execution_domain", "sdk.trade_mode"],
  "sdk-ts/sdk/src/runner/online/outages.test.ts": [
    "sdk.request_timeout_ms",
    "sdk.poll_interval_ms",
  ],
  "sdk-ts/sdk/src/control/control-session.test.ts": ["sdk.stream_silence_ms_max"],
  "sdk-ts/sdk/src/runner/online/reopen.test.ts": ["sdk.stream_total_ms_max"],
  "e2e/src/crash/failpoint-refused.test.ts": ["test.test_mode"],
  "sdk-ts/core/src/execution/simulated-broker.test.ts": ["instruments.*.tick"],
};
const shown = Object.entries(shownIn).flatMap(([place, keys]) =>
  keys.map((key) => [key, place] as const),
);

test("every key of the configuration has a test that shows its effect or its refusal", () => {
  expect(shown.map(([key]) => key).sort()).toEqual(leafKeys().sort());
});

test.each(shown)("%s is named in the test that shows it", (key, place) => {
  const [file = "", word] = place.split("#");
  const text = readFileSync(new URL(file, root), "utf8");

  const last = key.split(".").at(-1)!;
  const upper = (_: string, letter: string): string => letter.toUpperCase();
  const option = last.replace(/^stream_/, "").replace(/_(\w)/g, upper);
  const names = word ?? `${last}|${option}|\\w+__${last.toUpperCase()}`;
  expect(text).toMatch(new RegExp(`\\b(${names})\\b`));
});
