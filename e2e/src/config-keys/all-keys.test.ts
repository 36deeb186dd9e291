import { readFileSync } from "node:fs";
import { leafKeys } from "@qmtl/sdk/config";
import { expect, test } from "vitest";
import { laneCases, otherLanes } from "./data-lanes.ts";

const root = new URL("../../../", import.meta.url);
const here = "e2e/src/config-keys";

/** The test that shows what a key does, by key. It names the key: whole, by its last word, as an option, as a variable, or by the word after `#`. */
const shownBy: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(laneCases).map((key) => [key, `${here}/data-lanes.ts`])),
  ...Object.fromEntries(Object.keys(otherLanes).map((key) => [key, `${here}/data-lanes.ts`])),
  "project.name": "cli/src/commands/doctor.test.ts",
  "sources.*.adapter": `${here}/data-keys.test.ts`,
  "instruments.*.venue": "services/world-service/src/world-service.test.ts",
  "instruments.*.quote_currency": "sdk-ts/sdk/src/runner/offline/market.test.ts",
  "instruments.*.mark_source": "sdk-ts/sdk/src/runner/offline/market.test.ts",
  "accounts.*.broker": `${here}/data-keys.test.ts`,
  "accounts.*.currency": "sdk-ts/sdk/src/runner/offline/market.test.ts",
  "accounts.*.reconcile_interval_ms": `${here}/service-keys.test.ts`,
  "accounts.*.faults": "e2e/src/control/subscriber.test.ts",
  "gateway.id": "services/gateway/src/instances/account-lease-store.test.ts#gatewayId",
  "gateway.host": "services/embedded/src/start-platform.test.ts",
  "gateway.port": "e2e/src/harness/start-stack.ts",
  "gateway.web_port": `${here}/service-keys.test.ts`,
  "gateway.web_origins": `${here}/service-keys.test.ts`,
  "gateway.ticket_ttl_seconds": `${here}/service-keys.test.ts`,
  "gateway.enforce_live_guard": `${here}/service-keys.test.ts`,
  "gateway.dag_manager_url": "e2e/src/distributed/start-pairs.ts",
  "gateway.world_service_url": "e2e/src/distributed/start-pairs.ts",
  "gateway.rebalance_schema_version": "cli/src/main.test.ts",
  "dag_manager.host": "services/embedded/src/start-service.test.ts",
  "dag_manager.port": "e2e/src/harness/start-stack.ts",
  "dag_manager.node_lease_ms": `${here}/service-keys.test.ts`,
  "dag_manager.node_renew_ms": `${here}/service-keys.test.ts`,
  "dag_manager.node_margin_ms": `${here}/service-keys.test.ts`,
  "world_service.host": "services/embedded/src/start-service.test.ts",
  "world_service.port": "e2e/src/harness/start-stack.ts",
  "world_service.compat_rebalance_v2": "services/world-service/src/rpc/rebalance-version.test.ts",
  "world_service.alpha_metrics_required":
    "services/world-service/src/rpc/rebalance-version.test.ts",
  "world_service.default_lease.lease_ms": `${here}/service-keys.test.ts`,
  "world_service.default_lease.renew_ms": `${here}/service-keys.test.ts`,
  "world_service.default_lease.margin_ms": `${here}/service-keys.test.ts`,
  "world_service.default_lease.emit_max_ms": `${here}/service-keys.test.ts`,
  "world_service.default_lease.freeze_timeout_ms": `${here}/service-keys.test.ts`,
  "world_service.default_lease.switch_ack_ms": `${here}/service-keys.test.ts`,
  "world_service.default_lease.session_dead_ms": `${here}/service-keys.test.ts`,
  "storage.kind": "e2e/src/distributed/distributed.test.ts",
  "storage.data_dir": `${here}/service-keys.test.ts`,
  "storage.dsn": "e2e/src/distributed/distributed.test.ts",
  "bus.kind": "e2e/src/distributed/distributed.test.ts",
  "bus.brokers": "e2e/src/distributed/distributed.test.ts",
  "bus.topic_prefix": "services/kit/src/bus/kafka-bus.test.ts",
  "security.keys.*.principal": "services/embedded/src/testing/keyed-platform.ts",
  "security.keys.*.role": "services/embedded/src/roles.test.ts",
  "security.keys.*.secret": "services/embedded/src/testing/keyed-platform.ts",
  "security.gateways.*.secret": "e2e/src/distributed/start-pairs.ts",
  "security.tls.cert": "services/embedded/src/start-platform.test.ts",
  "security.tls.key": "services/embedded/src/start-platform.test.ts",
  "security.ca_file": "sdk-ts/sdk/src/config/client-tls.test.ts",
  "telemetry.log_level": "e2e/src/bad-input/interrupted.test.ts",
  "telemetry.metrics_port": `${here}/service-keys.test.ts`,
  "cache.tagquery_cache_path": "sdk-ts/sdk/src/runner/offline/tags.test.ts",
  "sdk.gateway_url": "cli/src/commands/run-online.test.ts",
  "sdk.execution_domain": "examples/dryrun-live-switch/smoke.test.ts",
  "sdk.trade_mode": "examples/dryrun-live-switch/smoke.test.ts",
  "sdk.request_timeout_ms": "sdk-ts/sdk/src/runner/online/outages.test.ts",
  "sdk.stream_silence_ms_max": "sdk-ts/sdk/src/control/control-session.test.ts",
  "sdk.stream_total_ms_max": "sdk-ts/sdk/src/runner/online/reopen.test.ts",
  "sdk.poll_interval_ms": "sdk-ts/sdk/src/runner/online/outages.test.ts",
  "test.test_mode": "e2e/src/crash/failpoint-refused.test.ts",
  "test.history_start": `${here}/data-keys.test.ts`,
  "test.history_end": `${here}/data-keys.test.ts`,
};

test("every key of the configuration has a test that shows its effect or its refusal", () => {
  expect(Object.keys(shownBy).sort()).toEqual(leafKeys().sort());
});

test.each(Object.entries(shownBy))("%s is named in the test that shows it", (key, place) => {
  const [file = "", word] = place.split("#");
  const text = readFileSync(new URL(file, root), "utf8");

  const last = key.split(".").at(-1)!;
  const upper = (_: string, letter: string): string => letter.toUpperCase();
  const option = last.replace(/^stream_/, "").replace(/_(\w)/g, upper);
  const names = word ?? `${last}|${option}|\\w+__${last.toUpperCase()}`;
  expect(text).toMatch(new RegExp(`\\b(${names})\\b`));
});
