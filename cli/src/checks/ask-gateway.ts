import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo } from "@qmtl/sdk/rpc";
import { type Check, messageOf } from "./check.ts";

/** Milliseconds each answer may take. */
const answerMsMax = 3_000;

/** Who asks the gateway. */
export interface GatewayCaller {
  readonly apiKey: string | undefined;
}

/** Checks made with answers of the gateway; one warning, with `failed`, when it gives none. */
export async function checkWithGateway(
  config: QmtlConfig,
  { apiKey }: GatewayCaller,
  checks: (connection: Connection) => Promise<Check[]>,
  failed: { readonly name: string; readonly what: string },
): Promise<Check[]> {
  const url = config.sdk.gateway_url;
  const connection = connectTo(url, {
    timeoutMs: answerMsMax,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(url.startsWith("https:") ? clientTls(config) : {}),
  });
  try {
    return await checks(connection);
  } catch (failure) {
    const detail = `${failed.what}: ${messageOf(failure)}`;
    return [{ name: failed.name, status: "warning", detail }];
  } finally {
    connection.close();
  }
}
