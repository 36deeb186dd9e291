import { loadConfig, type QmtlConfig } from "@qmtl/sdk/config";
import type { Command } from "commander";

/** Options every command has. */
export interface GlobalOptions {
  config?: string;
  gatewayUrl?: string;
  json?: boolean;
}

/** What results from the options every command has and the configuration. */
export interface CommandSettings {
  readonly asJson: boolean;
  readonly config: QmtlConfig;
  readonly gatewayUrl: string;
}

/** The settings of a command that was called. @throws {ConfigError} */
export function commandSettings(command: Command): CommandSettings {
  const options = command.optsWithGlobals<GlobalOptions>();
  const config = loadConfig(options.config === undefined ? {} : { path: options.config });
  const gatewayUrl = options.gatewayUrl ?? config.sdk.gateway_url;
  return { asJson: options.json === true, config, gatewayUrl };
}
