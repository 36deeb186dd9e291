export { clientTls } from "./client-tls.ts";
export { configBytesMax } from "./config-document.ts";
export { ConfigError, type ConfigErrorReason, type ConfigIssue } from "./config-error.ts";
export { configJsonSchema, type QmtlConfig } from "./config-schema.ts";
export { type ConfigExplanation, explainConfig } from "./explain-config.ts";
export { type LoadConfigOptions, loadConfig } from "./load-config.ts";
export { leafKeys } from "./schema-walk.ts";
export { resolveSecret, type SecretRef } from "./secret-ref.ts";
