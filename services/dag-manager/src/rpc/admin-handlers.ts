import { GraphAdminService } from "@qmtl/contracts/qmtl/dagmanager/v1/graph_admin_service_pb";
import { SentinelService } from "@qmtl/contracts/qmtl/dagmanager/v1/sentinel_service_pb";
import { capabilitiesOf, type ServedService, serve } from "@qmtl/service-kit";

/** Version of this software. */
const serverVersion = "0.1.0";

/** Capabilities over all services; the care of the graph and the sentinels' weights are left out. */
export function adminHandlers(
  others: readonly ServedService[],
  flags: readonly string[],
): ServedService[] {
  const sentinels = serve(SentinelService, {});
  const admin: ServedService = serve(GraphAdminService, {
    getCapabilities: async () => {
      const services = [...others, sentinels, admin];
      return { capabilities: capabilitiesOf({ services, serverVersion, flags }) };
    },
  });
  return [sentinels, admin];
}
