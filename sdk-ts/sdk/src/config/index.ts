export { parseInterval } from "../sources/parse-interval.ts";
export { isDateText, parseTimeText, timeForms } from "../sources/parse-time.ts";
export { type BookedSource, bookedSources } from "./booked-sources.ts";
export { clientTls } from "./client-tls.ts";
export { configBytesMax } from "./config-document.ts";
export { ConfigError, type ConfigErrorReason, type ConfigIssue } from "./config-error.ts";
export { configJsonSchema, type QmtlConfig } from "./config-schema.ts";
export { periodsPerYearOf } from "./data-sections.ts";
export { derivedKeys } from "./derived-values.ts";
export { type ConfigExplanation, explainConfig } from "./explain-config.ts";
export { type LoadConfigOptions, loadConfig } from "./load-config.ts";
export { nearestName } from "./nearest-name.ts";
export { ExposedFile, readPrivateFile } from "./private-file.ts";
export { leafKeys } from "./schema-walk.ts";
export {
  type ResolveSecretOptions,
  resolveSecret,
  type SecretRef,
  secretBytesMin,
} from "./secret-ref.ts";
