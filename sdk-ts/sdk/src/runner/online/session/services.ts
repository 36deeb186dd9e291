import type { Client } from "@connectrpc/connect";
import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { AccountService } from "@qmtl/contracts/qmtl/gateway/v1/account_service_pb";
import { ControlStreamService } from "@qmtl/contracts/qmtl/gateway/v1/control_stream_service_pb";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { RunnerService } from "@qmtl/contracts/qmtl/gateway/v1/runner_service_pb";
import { SystemService } from "@qmtl/contracts/qmtl/system/v1/system_service_pb";
import { WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { clientTls } from "../../../config/index.ts";
import { connectTo } from "../../../rpc/index.ts";
import type { OnlineOptions } from "./online-run.ts";

/** The services of a gateway that a run calls. */
export interface OnlineServices {
  readonly gateway: Client<typeof GatewayService>;
  readonly control: Client<typeof ControlStreamService>;
  readonly queues: Client<typeof QueueService>;
  readonly data: Client<typeof QueueDataService>;
  readonly runners: Client<typeof RunnerService>;
  readonly worlds: Client<typeof WorldService>;
  readonly accounts: Client<typeof AccountService>;
  readonly system: Client<typeof SystemService>;
  /** Address of the gateway, for messages. */
  readonly url: string;
  /** Drops the connection, unless the caller supplied it. */
  close(): void;
}

/** Connects, without I/O yet. */
export function onlineServices(options: OnlineOptions): OnlineServices {
  const url = options.gatewayUrl ?? options.config.sdk.gateway_url;
  const { apiKey, config } = options;
  const own = options.connection === undefined;
  const key = apiKey === undefined ? {} : { apiKey };
  const timeoutMs = config.sdk.request_timeout_ms;
  const made = own ? connectTo(url, { ...clientTls(config), ...key, timeoutMs }) : undefined;
  const connection = options.connection ?? made!;
  return {
    gateway: connection.client(GatewayService),
    control: connection.client(ControlStreamService),
    queues: connection.client(QueueService),
    data: connection.client(QueueDataService),
    runners: connection.client(RunnerService),
    worlds: connection.client(WorldService),
    accounts: connection.client(AccountService),
    system: connection.client(SystemService),
    url,
    close: () => made?.close(),
  };
}
