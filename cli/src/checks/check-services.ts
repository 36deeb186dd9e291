import { Code } from "@connectrpc/connect";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { type Connection, connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { connectionCause } from "../no-answer.ts";
import { type Check, messageOf } from "./check.ts";

export interface CheckServicesOptions {
  /** Key of the caller, as `QMTL_API_KEY`. */
  readonly apiKey: string | undefined;
  /** Milliseconds a service may take to answer. @default 3000 */
  readonly timeoutMs?: number;
}

/** What a service answered. */
export interface ServiceCheck extends Check {
  /** True when a server that speaks the contracts answered, even with a refusal. */
  readonly isThere: boolean;
}

interface Server {
  readonly name: string;
  /** Key of the configuration its address comes from. */
  readonly key: string;
  readonly url: string;
}

/** Asks all services of the configuration at once what they serve. Changes nothing. */
export function checkServices(
  config: QmtlConfig,
  options: CheckServicesOptions,
): Promise<ServiceCheck[]> {
  const { gateway, dag_manager, world_service } = config;
  // In one process the gateway finds the others by their ports, whatever its URLs say.
  const isOneProcess = config.storage.kind === "embedded" && config.bus.kind !== "direct";
  const servers: readonly Server[] = [
    gatewayServer(config),
    {
      name: "dag-manager",
      key: isOneProcess ? "dag_manager.port" : "gateway.dag_manager_url",
      url: isOneProcess ? `http://127.0.0.1:${dag_manager.port}` : gateway.dag_manager_url,
    },
    {
      name: "world-service",
      key: isOneProcess ? "world_service.port" : "gateway.world_service_url",
      url: isOneProcess ? `http://127.0.0.1:${world_service.port}` : gateway.world_service_url,
    },
  ];
  return Promise.all(servers.map((server) => checkServer(server, config, options)));
}

/** The gateway alone: the one address a user of the platform needs. */
export function checkGateway(
  config: QmtlConfig,
  options: CheckServicesOptions,
): Promise<ServiceCheck> {
  return checkServer(gatewayServer(config), config, options);
}

function gatewayServer(config: QmtlConfig): Server {
  return {
    name: "gateway",
    key: "sdk.gateway_url",
    url: config.sdk.gateway_url,
  };
}

async function checkServer(
  server: Server,
  config: QmtlConfig,
  options: CheckServicesOptions,
): Promise<ServiceCheck> {
  const { name, url } = server;
  let connection: Connection | undefined;
  try {
    connection = connectTo(url, {
      timeoutMs: options.timeoutMs ?? 3_000,
      ...(options.apiKey === undefined ? {} : { apiKey: options.apiKey }),
      ...(url.startsWith("https:") ? clientTls(config) : {}),
    });
    const { capabilities } = await connection.client(SystemService).getCapabilities({});
    const detail = `${url} answers, version ${capabilities?.serverVersion || "unknown"}`;
    return { name, status: "ok", detail, isThere: true };
  } catch (failure) {
    return refused(server, failure);
  } finally {
    connection?.close();
  }
}

function refused({ name, key, url }: Server, failure: unknown): ServiceCheck {
  const reason = failure instanceof QmtlError ? failure.reason : undefined;
  const isSilent =
    !(failure instanceof QmtlError) ||
    failure.code === Code.Unavailable ||
    failure.code === Code.DeadlineExceeded;
  if (isSilent) {
    const detail = `${url} does not answer: ${connectionCause(messageOf(failure))}`;
    const fix = `start the platform (\`qmtl up\`), or set ${key}`;
    return { name, status: "error", detail, fix, isThere: false };
  }
  const detail = `${url} refuses: ${messageOf(failure)} [${reason}]`;
  if (reason === "PRINCIPAL_UNKNOWN") {
    const fix = "set QMTL_API_KEY to the key of an entry of security.keys";
    return { name, status: "warning", detail, fix, isThere: true };
  }
  if (reason === "SCHEMA_VERSION_UNSUPPORTED") {
    const fix = "upgrade the older side";
    return { name, status: "error", detail, fix, isThere: true };
  }
  return { name, status: "error", detail, fix: `check what listens at ${url}`, isThere: true };
}
