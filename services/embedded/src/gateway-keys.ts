import { type QmtlConfig, resolveSecret } from "@qmtl/sdk/config";
import type { GatewayKey } from "@qmtl/service-kit";
import { madeGatewaySecret } from "./made-secret.ts";

/** A gateway signs with at least this, bytes. */
const secretBytesMin = 32;

/** Gateways whose signature the services behind them believe. As `resolveSecret`, naming the key. */
export function gatewayKeysFromConfig(config: QmtlConfig): GatewayKey[] {
  return Object.entries(config.security.gateways).map(([gatewayId, entry]) => {
    const key = `security.gateways.${gatewayId}.secret`;
    const secret = Buffer.from(resolveSecret(entry.secret, { key, bytesMin: secretBytesMin }));
    return { gatewayId, secret };
  });
}

/**
 * As `gatewayKeysFromConfig`; where the configuration names no gateway, the one of this machine with the secret that its
 * services share.
 */
export function gatewayKeysOfMachine(config: QmtlConfig): GatewayKey[] {
  const named = gatewayKeysFromConfig(config);
  if (named.length > 0) return named;
  return [{ gatewayId: config.gateway.id, secret: madeGatewaySecret() }];
}
