import { clientTls, type QmtlConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import { type Check, messageOf } from "./check.ts";

/** Milliseconds the gateway may take to answer. */
const answerMsMax = 3_000;

/** Display name of each part of the gateway's health, and what to do when it is down. */
const PARTS: Readonly<Record<string, { readonly name: string; readonly fix: string }>> = {
  "peer/dag-manager": {
    name: "DAG Manager",
    fix: "start it (`qmtl service dag-manager`), or correct gateway.dag_manager_url",
  },
  "peer/world-service": {
    name: "WorldService",
    fix: "start it (`qmtl service world-service`), or correct gateway.world_service_url",
  },
  store: { name: "gateway store", fix: "start the database; the gateway reconnects by itself" },
  bus: { name: "gateway bus", fix: "start the broker; the gateway reconnects by itself" },
  disk: { name: "gateway disk", fix: "free some space on the disk of storage.data_dir" },
};

/** What the gateway reports about the store and bus it uses, its disk, and the services behind it. */
export async function checkHealth(config: QmtlConfig): Promise<Check[]> {
  const url = config.sdk.gateway_url;
  const connection = connectTo(url, url.startsWith("https:") ? clientTls(config) : {});
  try {
    const { readHealth } = await import("@qmtl/service-kit");
    return checksOf(await readHealth(connection, answerMsMax));
  } catch (failure) {
    const detail = `the gateway does not report its health: ${messageOf(failure)}`;
    return [{ name: "gateway health", status: "warning", detail }];
  } finally {
    connection.close();
  }
}

/** One check for each part; contracts and unknown names are left out. */
export function checksOf(health: ReadonlyMap<string, boolean>): Check[] {
  return [...health].flatMap(([key, serves]): Check[] => {
    const [kind = "", what = ""] = key.split("/");
    const part = PARTS[key] ?? PARTS[kind];
    if (part === undefined || (kind === "peer" && PARTS[key] === undefined)) return [];
    const { name, fix } = part;
    const subject = kind === "peer" || what === "" ? "" : `${what}: `;
    if (serves) return [{ name, status: "ok", detail: `${subject}${OK[kind] ?? ""}` }];
    return [{ name, status: "error", detail: `${subject}${DOWN[kind] ?? ""}`, fix }];
  });
}

const OK: Readonly<Record<string, string>> = {
  peer: "answers the gateway",
  store: "answers the gateway",
  bus: "answers the gateway",
  disk: "has room",
};
const DOWN: Readonly<Record<string, string>> = {
  peer: "does not answer the gateway",
  store: "does not answer the gateway",
  bus: "does not answer the gateway",
  disk: "less than 1 GiB is free",
};
