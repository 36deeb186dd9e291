import { IdentityError } from "./identity-error.ts";

/**
 * Names that belong to the compute context or the environment, never to what a node computes. A param of such a name
 * would make the id depend on where the node runs, so it is refused rather than dropped. (`seed` and `timestamp` are
 * ordinary params.)
 */
export const reservedParamNames: ReadonlySet<string> = new Set([
  "world",
  "world_id",
  "world_ids",
  "execution_world",
  "execution_domain",
  "domain",
  "as_of",
  "partition",
  "dataset_fingerprint",
  "env",
]);

/** True for a reserved name or anything that starts with `env_`; letter case does not matter. */
export function isReservedParam(name: string): boolean {
  const lower = name.toLowerCase();
  return reservedParamNames.has(lower) || lower.startsWith("env_");
}

/**
 * Refuses reserved param names at any depth. The value must be JSON data (no cycles).
 *
 * @throws {IdentityError} `RESERVED_PARAM`, naming the param and its path.
 */
export function assertNoReservedParams(params: unknown, path = "params"): void {
  if (Array.isArray(params)) {
    params.forEach((item, index) => {
      assertNoReservedParams(item, `${path}[${index}]`);
    });
    return;
  }
  if (params === null || typeof params !== "object") return;
  for (const [name, value] of Object.entries(params)) {
    if (isReservedParam(name)) {
      throw new IdentityError(
        "RESERVED_PARAM",
        `${path}.${name}`,
        `${path}.${name}: "${name}" is reserved for the compute context and cannot be a param`,
      );
    }
    assertNoReservedParams(value, `${path}.${name}`);
  }
}
