import { accessSync, constants } from "node:fs";
import {
  explainConfig,
  type LoadConfigOptions,
  type QmtlConfig,
  resolveSecret,
} from "@qmtl/sdk/config";
import { type Check, messageOf } from "./check.ts";

/**
 * What the configuration refers to is there: files of sources, certificates, secrets. Warnings only: another machine,
 * or a later hour, may have them.
 */
export function checkFiles(config: QmtlConfig, options: LoadConfigOptions): Check[] {
  const { sources, security, storage } = config;
  const files = [
    ...Object.entries(sources).flatMap(([name, source]) => [
      { key: `sources.${name}.file`, file: source.file },
      { key: `sources.${name}.history_file`, file: source.history_file },
    ]),
    { key: "security.tls.cert", file: security.tls?.cert ?? null },
    { key: "security.tls.key", file: security.tls?.key ?? null },
    { key: "security.ca_file", file: security.ca_file },
  ];
  const secrets = [
    ...secretsOf("security.keys", security.keys),
    ...secretsOf("security.gateways", security.gateways),
    ...(storage.dsn === null ? [] : [{ key: "storage.dsn", secret: storage.dsn }]),
  ];
  const problems = [
    ...files.map(({ key, file }) => ({ key, problem: file === null ? undefined : unread(file) })),
    ...secrets.map(({ key, secret }) => ({ key, problem: missing(secret) })),
  ];
  return problems.flatMap(({ key, problem }): Check[] => {
    if (problem === undefined) return [];
    const { origin } = explainConfig(key, options);
    return [{ name: key, status: "warning", detail: `${origin}: ${problem}` }];
  });
}

interface Secret {
  readonly key: string;
  readonly secret: Parameters<typeof resolveSecret>[0];
}

function secretsOf(section: string, entries: Record<string, Pick<Secret, "secret">>): Secret[] {
  return Object.entries(entries).map(([id, { secret }]) => ({
    key: `${section}.${id}.secret`,
    secret,
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

function missing(secret: Secret["secret"]): string | undefined {
  try {
    resolveSecret(secret);
    return undefined;
  } catch (failure) {
    return messageOf(failure);
  }
}
