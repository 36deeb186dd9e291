import { readFileSync } from "node:fs";
import { z } from "zod";
import { ConfigError } from "./config-error.ts";

/** Where a secret is kept. The configuration itself never holds one. */
export const secretRefSchema = z.union(
  [
    z.strictObject({ env: z.string().min(1).describe("Environment variable that holds it.") }),
    z.strictObject({
      file: z.string().min(1).describe("File that holds it; one line break at its end is cut."),
    }),
  ],
  { error: "a secret is given by reference: {env: NAME} or {file: path}" },
);

export type SecretRef = z.output<typeof secretRefSchema>;

/**
 * Fetches a secret.
 *
 * @throws {ConfigError} `SECRET_UNAVAILABLE`, naming the variable or file, when it is missing or empty.
 */
export function resolveSecret(
  ref: SecretRef,
  from: {
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly readFile?: (path: string) => string;
  } = {},
): string {
  const { env = process.env, readFile = (path: string) => readFileSync(path, "utf8") } = from;
  const secret = "env" in ref ? env[ref.env] : readSecretFile(ref.file, readFile);
  if (secret !== undefined && secret !== "") return secret;
  const what = "env" in ref ? `environment variable ${ref.env}` : `file ${ref.file}`;
  throw new ConfigError("SECRET_UNAVAILABLE", undefined, [
    { path: "", message: `the secret in ${what} is missing or empty` },
  ]);
}

function readSecretFile(path: string, readFile: (path: string) => string): string | undefined {
  try {
    return readFile(path).replace(/\r?\n$/, "");
  } catch {
    return undefined;
  }
}
