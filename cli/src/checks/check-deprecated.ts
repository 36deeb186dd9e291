import { explainConfig, type LoadConfigOptions, type QmtlConfig } from "@qmtl/sdk/config";
import type { Check } from "./check.ts";

/** Warns of keys that still work but are deprecated. */
export function checkDeprecated({ sdk }: QmtlConfig, options: LoadConfigOptions): Check[] {
  if (sdk.trade_mode === null) return [];
  const { origin } = explainConfig("sdk.trade_mode", options);
  const detail = `${origin}: an old name, read as sdk.execution_domain: ${sdk.execution_domain}`;
  const fix = `write execution_domain: ${sdk.execution_domain} and leave trade_mode out`;
  return [{ name: "sdk.trade_mode", status: "warning", detail, fix }];
}
