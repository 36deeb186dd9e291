import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { Metadata } from "@grpc/grpc-js";
import { grpcStatusFrom, type QmtlError } from "@qmtl/sdk/rpc";
import type { Logger } from "../logger.ts";
import { refusalFrom } from "../outages/outage-refusal.ts";
import type { ServedMethod } from "./served-method.ts";

/**
 * Converts what a handler threw into the refusal that is sent: an outage says when to try again. A bug is logged here
 * with its stack; the caller learns no detail.
 */
export function refusalOf(
  failure: unknown,
  { desc, feature }: Pick<ServedMethod, "desc" | "feature">,
  logger: Logger,
): QmtlError {
  const error = refusalFrom(failure, desc.idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN);
  if (error.reason === "BUG") logger.error(`bug in ${feature}`, { feature, failure });
  return error;
}

/** An error in the form grpc-js sends. */
interface GrpcFailure {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** A refusal as gRPC status with `grpc-status-details-bin`. */
export function grpcFailure(error: QmtlError): GrpcFailure {
  const status = grpcStatusFrom(error);
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.detailsBin));
  return { code: status.code, details: status.message, metadata };
}
