export { type Platform, type PlatformAddresses, startPlatform } from "./start-platform.ts";
