export * from "./backup/index.ts";
export {
  type Platform,
  type PlatformAddresses,
  type StartPlatformOptions,
  startPlatform,
} from "./start-platform.ts";
export {
  type ServiceName,
  type StartedService,
  type StartServiceOptions,
  serviceNames,
  startService,
} from "./start-service.ts";
