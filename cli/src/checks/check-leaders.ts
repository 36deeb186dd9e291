import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { addressesOf, ChannelTransport, type ServerState } from "@qmtl/sdk/rpc";
import type { Check } from "./check.ts";

/** Milliseconds a server may take to say whether it serves. */
const answerMsMax = 3_000;

interface Service {
  readonly name: string;
  /** Key of the configuration its addresses come from. */
  readonly key: string;
  readonly urls: readonly string[];
}

/** What each state means where one of several processes leads. */
const words: Readonly<Record<ServerState, string>> = {
  serving: "leads",
  "not serving": "standby",
  down: "does not answer",
};

/**
 * Which of the processes of each service leads, and which stand by: by the health of each address. Looked at where
 * services run in processes of their own; changes nothing.
 */
export async function checkLeaders(config: QmtlConfig): Promise<Check[]> {
  if (config.storage.kind !== "postgres") return [];
  const services: readonly Service[] = [
    serviceOf("gateway instances", "sdk.gateway_url", config.sdk.gateway_url),
    serviceOf("DAG Manager instances", "gateway.dag_manager_url", config.gateway.dag_manager_url),
    serviceOf(
      "WorldService instances",
      "gateway.world_service_url",
      config.gateway.world_service_url,
    ),
  ];
  return Promise.all(services.map((service) => checkService(service, config)));
}

function serviceOf(name: string, key: string, urls: string): Service {
  return { name, key, urls: addressesOf(urls) };
}

async function checkService({ name, key, urls }: Service, config: QmtlConfig): Promise<Check> {
  const states = await Promise.all(urls.map((url) => stateOf(url, config)));
  const detail = urls.map((url, at) => `${url} ${words[states[at] ?? "down"]}`).join("; ");
  if (states.includes("serving")) return { name, status: "ok", detail };
  const fix = states.includes("not serving")
    ? `another process leads: put its address into ${key}, too; if none does, one of these takes over by itself`
    : `start one, or set ${key}`;
  return { name, status: "warning", detail, fix };
}

async function stateOf(url: string, config: QmtlConfig): Promise<ServerState> {
  const transport = new ChannelTransport(url, url.startsWith("https:") ? clientTls(config) : {});
  try {
    return await transport.health(answerMsMax);
  } finally {
    transport.close();
  }
}
