import { QmtlError } from "@qmtl/sdk/rpc";

/** PORT_TAKEN naming the port, or CONFIG_INVALID for an address this machine does not have. */
export function cannotListen(host: string, port: number, cause: unknown): QmtlError {
  const metadata = { host, port: String(port) };
  return String(cause).includes("EADDRINUSE")
    ? new QmtlError("PORT_TAKEN", `port ${port} on ${host} is in use`, { cause, metadata })
    : new QmtlError("CONFIG_INVALID", `cannot listen on ${host}:${port}`, { cause, metadata });
}
