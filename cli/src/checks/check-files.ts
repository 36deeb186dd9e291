import { accessSync, constants } from "node:fs";
import {
  explainConfig,
  type LoadConfigOptions,
  type QmtlConfig,
  readPrivateFile,
  resolveSecret,
  type SecretRef,
  secretBytesMin,
} from "@qmtl/sdk/config";
import { type Check, messageOf } from "./check.ts";

/**
 * Checks that what the configuration refers to exists (files of sources, certificates, secrets), and that secrets are
 * long enough and not readable by everybody. Gives warnings only: it may exist on another machine, or later.
 */
export function checkFiles(config: QmtlConfig, options: LoadConfigOptions): Check[] {
  const { sources, security, storage } = config;
  const files = [
    ...Object.entries(sources).flatMap(([name, source]) => [
      { key: `sources.${name}.file`, file: source.file },
      { key: `sources.${name}.history_file`, file: source.history_file },
    ]),
    { key: "security.tls.cert", file: security.tls?.cert ?? null },
    { key: "security.ca_file", file: security.ca_file },
  ];
  const secrets = [
    ...secretsOf("security.keys", security.keys, secretBytesMin),
    ...secretsOf("security.gateways", security.gateways, gatewaySecretBytesMin),
    ...(storage.dsn === null ? [] : [{ key: "storage.dsn", secret: storage.dsn, bytesMin: 0 }]),
  ];
  const problems = [
    {
      key: "security.tls.key",
      problem: security.tls === null ? undefined : unreadKey(security.tls.key),
    },
    ...files.map(({ key, file }) => ({ key, problem: file === null ? undefined : unread(file) })),
    ...secrets.map(({ key, secret, bytesMin }) => ({ key, problem: unusable(secret, bytesMin) })),
  ];
  return problems.flatMap(({ key, problem }): Check[] => {
    if (problem === undefined) return [];
    const { origin } = explainConfig(key, options);
    return [{ name: key, status: "warning", detail: `${origin}: ${problem}` }];
  });
}

interface Secret {
  readonly key: string;
  readonly secret: SecretRef;
  readonly bytesMin: number;
}

/** Shortest secret a gateway may sign with, bytes. */
const gatewaySecretBytesMin = 32;

function secretsOf(
  section: string,
  entries: Record<string, Pick<Secret, "secret">>,
  bytesMin: number,
): Secret[] {
  return Object.entries(entries).map(([id, { secret }]) => ({
    key: `${section}.${id}.secret`,
    secret,
    bytesMin,
  }));
}

function unread(file: string): string | undefined {
  try {
    accessSync(file, constants.R_OK);
    return undefined;
  } catch (failure) {
    return messageOf(failure);
  }
}

function unusable(secret: SecretRef, bytesMin: number): string | undefined {
  try {
    resolveSecret(secret, { bytesMin });
    return undefined;
  } catch (failure) {
    return messageOf(failure);
  }
}

function unreadKey(file: string): string | undefined {
  try {
    readPrivateFile(file);
    return undefined;
  } catch (failure) {
    return messageOf(failure);
  }
}
