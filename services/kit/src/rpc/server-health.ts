import type { Server } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { HealthSource } from "../health.ts";

/**
 * `grpc.health.v1` of a server. The empty name is the process: SERVING until it stops. Contracts and the further names
 * of the source follow what that says.
 */
export class ServerHealth {
  readonly #implementation = new HealthImplementation();
  readonly #contracts: readonly string[];
  readonly #source: HealthSource | undefined;
  readonly #forget: () => void;
  readonly #known = new Map<string, boolean>();
  #isDraining = false;

  constructor(contracts: readonly string[], source: HealthSource | undefined) {
    this.#contracts = contracts;
    this.#source = source;
    this.#forget = source?.onChange(() => this.#follow()) ?? (() => {});
    this.#follow();
  }

  addTo(server: Server): void {
    this.#implementation.addToServer(server);
  }

  /** Nothing serves any more. */
  drain(): void {
    this.#forget();
    this.#isDraining = true;
    this.#follow();
  }

  #follow(): void {
    const told = this.#source?.states() ?? new Map<string, boolean>();
    const names = new Set(["", ...this.#contracts, ...told.keys()]);
    for (const name of names) {
      const serves = !this.#isDraining && (told.get(name) ?? true);
      if (this.#known.get(name) === serves) continue;
      this.#known.set(name, serves);
      this.#implementation.setStatus(name, serves ? "SERVING" : "NOT_SERVING");
    }
  }
}
