export * from "./backup/index.ts";
export { type Platform, type PlatformAddresses, startPlatform } from "./start-platform.ts";
export {
  type ServiceName,
  type StartedService,
  serviceNames,
  startService,
} from "./start-service.ts";
