import type { Clock } from "./clock.ts";
import type { CallPrincipal } from "./handlers.ts";
import { type GatewayKey, signPrincipal } from "./principal-signature.ts";

/** How long one signature is reused, milliseconds: well below its life, so that no call outlives it. */
export const signatureReuseMsMax = 10_000;
/** Largest number of principals whose signature is remembered; at this number all are forgotten. */
const principalsMax = 1_000;

/** Signs principals as a gateway: one signature serves all calls of a principal for ten seconds. */
export class PrincipalSigner {
  readonly #key: GatewayKey;
  readonly #clock: Clock;
  readonly #signed = new Map<string, { readonly header: string; readonly untilMs: number }>();

  constructor(key: GatewayKey, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  /** The header that vouches for a caller. @throws {QmtlError} CONFIG_INVALID for a secret under 32 bytes. */
  sign(principal: CallPrincipal): string {
    const nowMs = this.#clock.nowMs();
    const name = JSON.stringify([principal.role, principal.name, principal.session ?? null]);
    const known = this.#signed.get(name);
    // A clock that was set back must not lengthen the reuse.
    const leftMs = (known?.untilMs ?? 0) - nowMs;
    if (known !== undefined && leftMs > 0 && leftMs <= signatureReuseMsMax) return known.header;
    const header = signPrincipal(principal, this.#key, nowMs);
    if (this.#signed.size >= principalsMax) this.#signed.clear();
    this.#signed.set(name, { header, untilMs: nowMs + signatureReuseMsMax });
    return header;
  }
}
