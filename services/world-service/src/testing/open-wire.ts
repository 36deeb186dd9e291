import { loadConfig } from "@qmtl/sdk/config";
import { connectTo } from "@qmtl/sdk/rpc";
import {
  type CallPrincipal,
  openGrpcServer,
  type PrincipalCheck,
  silentLogger,
  systemClock,
} from "@qmtl/service-kit";
import { openEmbeddedBus } from "@qmtl/service-kit/bus";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { createWorldService } from "../create-world-service.ts";

const roleHeader = "test-role";
const ROLES: readonly CallPrincipal["role"][] = [
  "viewer",
  "researcher",
  "operator",
  "owner",
  "gateway",
];

/** A caller has the role that its header names; a call without one fails. */
const ofHeader: PrincipalCheck = ({ header }) => {
  const role = ROLES.find((each) => each === header(roleHeader));
  if (role === undefined) throw new Error("the test's caller says no role");
  return { name: role, role };
};

/** A world service over PGlite behind a real gRPC server, called in any role. */
export async function openWire() {
  const host = await openTestPglite();
  const config = await loadConfig({ cwd: "/", env: {} });
  const bus = await openEmbeddedBus({ db: host.db("bus") });
  const deps = { db: host.db("world"), bus, clock: systemClock, logger: silentLogger, config };
  const service = await createWorldService(deps);
  await service.start();
  const { services, schemaRange } = service;
  const setup = { services, schemaRange, logger: silentLogger, principalOf: ofHeader };
  const router = await openGrpcServer(setup);
  const connectAs = (role: CallPrincipal["role"]) =>
    connectTo(`http://127.0.0.1:${router.port}`, { headers: () => ({ [roleHeader]: role }) });
  const connections = new Map(ROLES.map((role) => [role, connectAs(role)]));
  return {
    /** Schema `world`. */
    db: deps.db,
    /** Clients of a caller in this role. */
    as: (role: CallPrincipal["role"]) => {
      const connection = connections.get(role)!;
      return { client: connection.client.bind(connection) };
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections.values()) connection.close();
      await router.close();
      await service.stop();
      await bus.close();
      await host.close();
    },
  };
}
