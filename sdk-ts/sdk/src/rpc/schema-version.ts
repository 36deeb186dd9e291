import { QmtlError } from "./qmtl-error.ts";

/** Versions of a contract, both ends included; whole numbers from 1. */
export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/** The range as a request states it: an unset `min` is 1, an unset `max` is `min`. */
export interface StatedRange {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
}

/** Range of every contract that has no later version. */
export const FIRST_VERSION: VersionRange = { min: 1, max: 1 };

/**
 * The range a request means.
 *
 * @throws {QmtlError} INVALID_FIELD for a bound below 1, or if `min` is above `max`.
 */
export function statedRange(stated: StatedRange | undefined): VersionRange {
  const min = stated?.min ?? 1;
  const max = stated?.max ?? min;
  const fields = [
    ...(min < 1 ? [{ field: "schema_version.min", description: "must be at least 1" }] : []),
    ...(max < 1 ? [{ field: "schema_version.max", description: "must be at least 1" }] : []),
    ...(min >= 1 && max >= 1 && max < min
      ? [{ field: "schema_version.max", description: `must not be below min, ${min}` }]
      : []),
  ];
  if (fields.length > 0)
    throw new QmtlError("INVALID_FIELD", "schema_version must be a range: min up to max", {
      fields,
    });
  return { min, max };
}

/**
 * The version in which a response is written: the highest that both sides support.
 *
 * @throws {QmtlError} SCHEMA_VERSION_UNSUPPORTED, with both ranges in the metadata, if there is none; INVALID_FIELD as
 * `statedRange`.
 */
export function negotiate(stated: StatedRange | undefined, supported: VersionRange): number {
  const asked = statedRange(stated);
  const version = Math.min(asked.max, supported.max);
  if (version >= Math.max(asked.min, supported.min)) return version;
  throw new QmtlError(
    "SCHEMA_VERSION_UNSUPPORTED",
    `schema versions ${asked.min}..${asked.max} requested, ${supported.min}..${supported.max} supported`,
    {
      metadata: {
        requested_min: String(asked.min),
        requested_max: String(asked.max),
        supported_min: String(supported.min),
        supported_max: String(supported.max),
      },
    },
  );
}

/** Flags that decide which versions of the rebalancing contract a server supports. */
export interface RebalanceFlags {
  /** Version 2 is supported: alpha metrics and rebalance intent. */
  readonly compatRebalanceV2: boolean;
  /** Version 1 is refused. Needs `compatRebalanceV2`. */
  readonly alphaMetricsRequired: boolean;
}

/**
 * Versions of `RebalancingService` under these flags.
 *
 * @throws {QmtlError} CONFIG_INVALID if `alphaMetricsRequired` is set without `compatRebalanceV2`.
 */
export function rebalanceRange(flags: RebalanceFlags): VersionRange {
  if (flags.alphaMetricsRequired && !flags.compatRebalanceV2) {
    throw new QmtlError(
      "CONFIG_INVALID",
      "alpha_metrics_required needs compat_rebalance_v2: version 1 has no alpha metrics",
    );
  }
  return { min: flags.alphaMetricsRequired ? 2 : 1, max: flags.compatRebalanceV2 ? 2 : 1 };
}
