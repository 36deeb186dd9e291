export {
  createWorldService,
  type WorldServiceDeps,
  type WorldServiceInstance,
} from "./create-world-service.ts";
export { liveGuardHeader } from "./rpc/activation-handlers.ts";
