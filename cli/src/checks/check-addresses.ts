import type { QmtlConfig } from "@qmtl/sdk/config";
import { addressesOf } from "@qmtl/sdk/rpc";
import type { Check } from "./check.ts";

/** Checks that commands on this machine call the gateway that `qmtl up` starts on this machine. */
export function checkAddresses(config: QmtlConfig): Check[] {
  const { gateway, sdk } = config;
  const addresses = addressesOf(sdk.gateway_url);
  // With several addresses, nothing says which one is this machine's own.
  if (addresses.length > 1) return [];
  const url = new URL(sdk.gateway_url);
  const isHere = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  if (!isHere || port === gateway.port) return [];
  const detail = `sdk.gateway_url calls port ${port}, gateway.port is ${gateway.port}`;
  const fix = `set sdk.gateway_url to ${url.protocol}//${url.hostname}:${gateway.port}`;
  return [{ name: "gateway address", status: "warning", detail, fix }];
}
