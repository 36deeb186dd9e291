import { z } from "zod";
import { ConfigError, type ConfigErrorReason } from "./config-error.ts";
import { ExposedFile, FolderForFile, readPrivateFile } from "./private-file.ts";

/** Shortest key or secret that is accepted, in bytes: a shorter one could be guessed. */
export const secretBytesMin = 16;

/** Where a secret is kept. The configuration itself never holds one. */
export const secretRefSchema = z.union(
  [
    z.strictObject({ env: z.string().min(1).describe("Environment variable that holds it.") }),
    z.strictObject({
      file: z
        .string()
        .min(1)
        .describe(
          "File that holds it, not readable by everybody (chmod 600); one line break at its end is removed.",
        ),
    }),
  ],
  { error: "expected a reference to a secret: {env: NAME} or {file: path}" },
);

export type SecretRef = z.output<typeof secretRefSchema>;

export interface ResolveSecretOptions {
  /** Key of the configuration, for the message. @default none */
  readonly key?: string;
  /**
   * Length below which a secret is refused, in bytes. @default 0, for a connection string, which is more than a secret
   */
  readonly bytesMin?: number;
  /** @default the environment of the process */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Fetches a secret.
 *
 * @throws {ConfigError} naming the key, and the variable or file: `SECRET_UNAVAILABLE` when it is missing or empty,
 * `SECRET_EXPOSED` when everybody on the machine can read the file, `SECRET_TOO_SHORT`.
 */
export function resolveSecret(ref: SecretRef, options: ResolveSecretOptions = {}): string {
  const { env = process.env, key = "", bytesMin = 0 } = options;
  const refuse = (reason: ConfigErrorReason, message: string) =>
    new ConfigError(reason, undefined, [{ path: key, message }]);
  const what = "env" in ref ? `environment variable ${ref.env}` : `file ${ref.file}`;
  let secret: string | undefined;
  try {
    secret = "env" in ref ? env[ref.env] : readSecretFile(ref.file);
  } catch (cause) {
    if (cause instanceof ExposedFile)
      throw refuse("SECRET_EXPOSED", `the secret in ${cause.message}`);
    if (cause instanceof FolderForFile)
      throw refuse("SECRET_UNAVAILABLE", `the secret cannot be read: ${cause.message}`);
    secret = undefined;
  }
  if (secret === undefined || secret === "") {
    throw refuse("SECRET_UNAVAILABLE", `the secret in ${what} is missing or empty`);
  }
  const bytes = Buffer.byteLength(secret);
  if (bytes < bytesMin) {
    const message = `the secret in ${what} has ${bytes} bytes; at least ${bytesMin} are required`;
    throw refuse("SECRET_TOO_SHORT", message);
  }
  return secret;
}

function readSecretFile(path: string): string {
  return readPrivateFile(path)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}
