import { readFileSync } from "node:fs";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  RebalanceMode,
  RebalancingService,
} from "@qmtl/contracts/qmtl/world/v1/rebalancing_service_pb";
import { WorldClock, WorldService } from "@qmtl/contracts/qmtl/world/v1/world_service_pb";
import { loadConfig } from "@qmtl/sdk/config";
import { connectTo, QmtlError } from "@qmtl/sdk/rpc";
import { openGrpcServer, silentLogger, systemClock } from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorldService } from "../create-world-service.ts";

interface VersionCase {
  readonly id: string;
  readonly compat_rebalance_v2: boolean;
  readonly alpha_metrics_required: boolean;
  readonly requested: number | null;
  readonly startup_error?: boolean;
  readonly status?: string;
  readonly schema_version?: number | null;
  readonly alpha_metrics?: boolean;
  readonly rebalance_intent?: object | null;
}

interface Flags {
  readonly compat_rebalance_v2: boolean;
  readonly alpha_metrics_required: boolean;
}

const file = new URL("../../../../e2e/vectors/version.json", import.meta.url);
const { cases }: { cases: VersionCase[] } = JSON.parse(readFileSync(file, "utf8"));
const statuses: Readonly<Record<number, string>> = {
  [Code.InvalidArgument]: "INVALID_ARGUMENT",
  [Code.FailedPrecondition]: "FAILED_PRECONDITION",
};
const worldId = "golden";

let host: PgliteHost;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());

/** The service with the flags, behind a real server. */
async function openService(flags: Flags) {
  const defaults = await loadConfig({ cwd: "/", env: {} });
  const config = { ...defaults, world_service: { ...defaults.world_service, ...flags } };
  const bus = await openEmbeddedBus({ db: host.db("bus") });
  const deps = { db: host.db("world"), bus, clock: systemClock, logger: silentLogger, config };
  const service = await createWorldService(deps);
  await service.start();
  const { services, schemaRange } = service;
  const server = await openGrpcServer({ services, schemaRange, logger: silentLogger });
  const connection = connectTo(`http://127.0.0.1:${server.port}`, {});
  return {
    worlds: connection.client(WorldService),
    rebalancing: connection.client(RebalancingService),
    async [Symbol.asyncDispose]() {
      connection.close();
      await server.close();
      await service.stop();
      await bus.close();
    },
  };
}

type Service = Awaited<ReturnType<typeof openService>>;

/** The answer to an empty plan, in the words of the vectors. */
async function planned({ rebalancing }: Service, requested: number | null) {
  const nothing = {
    status: "",
    schema_version: null,
    alpha_metrics: false,
    rebalance_intent: null,
  };
  try {
    const { schemaVersion, plan } = await rebalancing.planRebalance({
      schemaVersion: requested === null ? {} : { min: 1, max: requested },
      mode: RebalanceMode.SCALING,
      allocations: [{ worldId, ratio: 0.5 }],
      books: { accountId: "acc", equity: { value: "1000" }, worldTime: timestampFromMs(1) },
      // A field of version 2: a caller that accepts only version 1 may not set it.
      ...((requested ?? 1) >= 2 ? { rebalanceIntent: { meta: { t: "x" } } } : {}),
    });
    return {
      status: "OK",
      schema_version: schemaVersion?.version,
      alpha_metrics: plan?.alphaMetrics !== undefined,
      rebalance_intent: plan?.rebalanceIntent ? { meta: plan.rebalanceIntent.meta } : null,
    };
  } catch (error) {
    if (!(error instanceof QmtlError)) throw error;
    return { ...nothing, status: statuses[error.code] ?? error.reason };
  }
}

describe("PlanRebalance over the wire, golden cases", () => {
  for (const compat_rebalance_v2 of [false, true]) {
    for (const alpha_metrics_required of [false, true]) {
      const flags = { compat_rebalance_v2, alpha_metrics_required };
      const own = cases.filter(
        (one) =>
          one.compat_rebalance_v2 === compat_rebalance_v2 &&
          one.alpha_metrics_required === alpha_metrics_required,
      );
      const name = `v2 ${compat_rebalance_v2}, alpha metrics required ${alpha_metrics_required}`;
      test(`${name}: ${own.map(({ id }) => id).join(", ")}`, async () => {
        expect(own.length).toBeGreaterThan(2);
        if (own.every((one) => one.startup_error === true)) {
          await expect(openService(flags)).rejects.toMatchObject({ reason: "CONFIG_INVALID" });
          return;
        }
        await using service = await openService(flags);
        const world = { worldId, clock: WorldClock.WALL, accountId: "acc" };
        await service.worlds.createWorld({ world, requestId: "w" });

        for (const { id, requested, ...golden } of own) {
          const { status, schema_version, alpha_metrics, rebalance_intent } = golden;
          const expected = { status, schema_version, alpha_metrics, rebalance_intent };
          expect(await planned(service, requested), id).toEqual(expected);
        }
      });
    }
  }

  test("an intent beside a version that has none is refused", async () => {
    await using service = await openService({
      compat_rebalance_v2: true,
      alpha_metrics_required: false,
    });

    await expect(
      service.rebalancing.planRebalance({
        schemaVersion: { min: 1, max: 1 },
        mode: RebalanceMode.TARGETS,
        allocations: [{ worldId, ratio: 0.5 }],
        rebalanceIntent: { meta: { t: "x" } },
      }),
    ).rejects.toMatchObject({ reason: "INVALID_FIELD", fields: [{ field: "rebalance_intent" }] });
  });

  test("a version that is too low names the one that is needed", async () => {
    await using service = await openService({
      compat_rebalance_v2: true,
      alpha_metrics_required: true,
    });

    await expect(
      service.rebalancing.planRebalance({
        mode: RebalanceMode.TARGETS,
        allocations: [{ worldId, ratio: 0.5 }],
      }),
    ).rejects.toMatchObject({
      reason: "SCHEMA_VERSION_REQUIRED",
      metadata: { required: "2", spoken: "1" },
    });
  });
});
