import type { Metadata } from "@grpc/grpc-js";
import { isLoopbackHost } from "@qmtl/sdk/rpc";
import type { CallContext, CallPrincipal } from "../handlers.ts";
import type { SessionScope } from "../session-scope.ts";
import type { ActiveCall } from "./active-calls.ts";
import type { CheckedCall } from "./request-check.ts";
import type { ServerSetup } from "./server-setup.ts";

/** What all kinds of grpc-js server calls have. */
export interface SurfaceCall {
  readonly metadata: Metadata;
  getPeer(): string;
  getDeadline(): Date | number;
}

/** Determines who called. Throws what `PrincipalCheck` throws. */
export function principalOfCall(setup: ServerSetup, call: SurfaceCall): CallPrincipal {
  const { metadata } = call;
  return setup.principalOf({
    header: (name) => {
      const value = metadata.get(name)[0];
      return typeof value === "string" ? value : undefined;
    },
    get isLoopback() {
      return isLoopbackPeer(call.getPeer());
    },
  });
}

/** True for `127.0.0.1:5000`, `::1:5000` and the IPv4-mapped form. */
function isLoopbackPeer(peer: string): boolean {
  const host = peer.slice(0, Math.max(peer.lastIndexOf(":"), 0));
  return isLoopbackHost(host.startsWith("::ffff:") ? host.slice(7) : host);
}

/** Context of a call at the gRPC server; signal, metadata and time left are made when asked for. */
export class GrpcCallContext implements CallContext {
  readonly principal: CallPrincipal;
  readonly schemaVersion: number;
  readonly #session: SessionScope | undefined;
  readonly #call: SurfaceCall;
  readonly #active: ActiveCall;
  readonly #setup: ServerSetup;
  #metadata: ReadonlyMap<string, string> | undefined;

  constructor(setup: ServerSetup, call: SurfaceCall, active: ActiveCall, checked: CheckedCall) {
    this.#setup = setup;
    this.#call = call;
    this.#active = active;
    this.principal = checked.principal;
    this.#session = checked.session;
    this.schemaVersion = checked.version;
  }

  get session(): SessionScope | undefined {
    return this.#session;
  }

  get signal(): AbortSignal {
    return this.#active.signal;
  }

  get timeoutMs(): number | undefined {
    const deadline = Number(this.#call.getDeadline());
    if (!Number.isFinite(deadline)) return undefined;
    return Math.max(0, deadline - this.#setup.clock.nowMs());
  }

  get metadata(): ReadonlyMap<string, string> {
    if (this.#metadata === undefined) {
      const map = new Map<string, string>();
      for (const [key, value] of Object.entries(this.#call.metadata.getMap())) {
        map.set(key, typeof value === "string" ? value : value.toString("base64"));
      }
      this.#metadata = map;
    }
    return this.#metadata;
  }
}
