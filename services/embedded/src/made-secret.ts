import { randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { QmtlError } from "@qmtl/sdk/rpc";
import { invalidConfig } from "./invalid-config.ts";

/** Random bytes of a secret; the file has two characters for each. */
const DRAWN_BYTES = 32;
/** Mode bits that let others than the owner use the file. */
const OTHERS = 0o077;
/** Key to set for a secret of one's own. */
const field = "security.gateways";

/**
 * The secret with which the gateway of this user on this machine signs its calls, and which the services behind it
 * know: file `gateway-secret` of the state folder, mode 0600. Made at the first start; services that start at the same
 * time agree on one.
 *
 * Throws CONFIG_INVALID, naming the file, when others may read it, when it holds no such secret, or cannot be made.
 */
export function madeGatewaySecret(folder: string = stateFolder()): Buffer {
  const path = join(folder, "gateway-secret");
  try {
    return readSecret(path) ?? makeSecret(folder, path);
  } catch (cause) {
    if (cause instanceof QmtlError || !(cause instanceof Error)) throw cause;
    throw invalidConfig(field, `the secret made in its place cannot be kept: ${cause.message}`);
  }
}

/** Undefined when there is no file. */
function readSecret(path: string): Buffer | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  }
  try {
    const stats = fstatSync(file);
    if (stats.isDirectory()) {
      throw invalidConfig(
        field,
        `${path} is a directory, not a file; remove it, and a new secret will be made`,
      );
    }
    if (process.platform !== "win32" && (stats.mode & OTHERS) !== 0) {
      throw invalidConfig(
        field,
        `${path} can be read by others than its owner; run chmod 600 on it`,
      );
    }
    const text = readFileSync(file, "utf8").trim();
    if (Buffer.byteLength(text) >= DRAWN_BYTES) return Buffer.from(text);
    throw invalidConfig(
      field,
      `${path} holds fewer than ${DRAWN_BYTES} bytes; remove it, and a new one will be made`,
    );
  } finally {
    closeSync(file);
  }
}

function makeSecret(folder: string, path: string): Buffer {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const own = `${path}.${process.pid}-${randomBytes(6).toString("hex")}`;
  try {
    writePrivately(own, `${randomBytes(DRAWN_BYTES).toString("hex")}\n`);
    linkUnlessThere(own, path);
  } finally {
    rmSync(own, { force: true });
  }
  const secret = readSecret(path);
  if (secret === undefined)
    throw invalidConfig(field, `${path} was removed while it was being created`);
  return secret;
}

/**
 * A hard link is made whole or not at all, and only if the name is free: a process that comes second uses the first
 * one's.
 */
function linkUnlessThere(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST")) throw cause;
  }
}

function writePrivately(path: string, text: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    fchmodSync(file, 0o600);
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * The user's state folder for QMTL: `$XDG_STATE_HOME/qmtl`, else `~/.local/state/qmtl`; on Windows
 * `%LOCALAPPDATA%\qmtl`. Not in the cache, which may be deleted while services run, nor in a data folder, of which each
 * service has its own.
 */
export function stateFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const named = process.platform === "win32" ? env.LOCALAPPDATA : env.XDG_STATE_HOME;
  if (named !== undefined && named !== "") return join(named, "qmtl");
  return join(homedir(), ".local", "state", "qmtl");
}
