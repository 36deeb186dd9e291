import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { addressesOf, connectTo } from "@qmtl/sdk/rpc";
import type { Check } from "./check.ts";

/** Milliseconds a server may take to say whether it serves. */
const answerMsMax = 3_000;

interface Service {
  readonly name: string;
  /** Key of the configuration its addresses come from. */
  readonly key: string;
  readonly urls: readonly string[];
}

/** State of the process at an address, as the table shows it. */
type InstanceState =
  | "leads"
  | "standby"
  | "does not know who leads: its store does not answer"
  | "does not answer";

/**
 * Reports which process of each service leads and which stand by, from the health of each address. Empty without
 * PostgreSQL, as a service then has one process. Changes nothing.
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
  const detail = urls.map((url, at) => `${url} ${states[at]}`).join("; ");
  const fix = fixOf(key, states);
  return fix === undefined
    ? { name, status: "ok", detail }
    : { name, status: "warning", detail, fix };
}

/** What to do where not every address leads or stands by; undefined where all is well. */
function fixOf(key: string, states: readonly InstanceState[]): string | undefined {
  if (states.every((state) => state === "does not answer")) return `start one, or set ${key}`;
  if (states.some((state) => state.startsWith("does not know")))
    return "start the database; they agree on a leader by themselves";
  if (!states.includes("leads"))
    return `another process leads: add its address to ${key}; if none does, one of these takes over by itself`;
  if (states.includes("does not answer"))
    return `start the one that does not answer, or remove it from ${key}: one fewer can take over`;
  return undefined;
}

async function stateOf(url: string, config: QmtlConfig): Promise<InstanceState> {
  const connection = connectTo(url, url.startsWith("https:") ? clientTls(config) : {});
  try {
    const { LEADER_HEALTH, readHealth } = await import("@qmtl/service-kit");
    const health = await readHealth(connection, answerMsMax);
    // A process that must be the only one reports no leader state: it leads while it serves.
    if (health.get(LEADER_HEALTH) ?? health.get("") ?? false) return "leads";
    const isStoreDown = [...health].some(([part, serves]) => part.startsWith("store/") && !serves);
    return isStoreDown ? "does not know who leads: its store does not answer" : "standby";
  } catch {
    return "does not answer";
  } finally {
    connection.close();
  }
}
