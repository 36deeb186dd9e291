import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import type { GatewayKey } from "@qmtl/service-kit";
import { invalidConfig } from "./invalid-config.ts";

const secretBytesMin = 32;

/** Gateways whose signature the services behind them believe. CONFIG_INVALID for a secret that is too short. */
export function gatewayKeysFromConfig(config: QmtlConfig): GatewayKey[] {
  return Object.entries(config.security.gateways).map(([gatewayId, entry]) => {
    const secret = Buffer.from(resolveSecret(entry.secret));
    if (secret.length < secretBytesMin) {
      const field = `security.gateways.${gatewayId}.secret`;
      throw invalidConfig(field, `a gateway signs with at least ${secretBytesMin} bytes`);
    }
    return { gatewayId, secret };
  });
}
