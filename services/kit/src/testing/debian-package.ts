import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";

/** Mirrors fail now and then, and another installation may be under way. */
const PATIENTLY = ["-o", "Acquire::Retries=5", "-o", "DPkg::Lock::Timeout=300"];

/** Installs a package where this is root on Debian; elsewhere rejects, naming the program that is not in PATH. */
export async function installDebianPackage(name: string, program: string): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error(`${program} is not in PATH, and only root can install it`);
  if (!existsSync("/etc/debian_version"))
    throw new Error(`${program} is not in PATH; install ${name}`);
  const run = promisify(execFile);
  const options = {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    timeout: 600_000,
    maxBuffer: 64 * 1024 * 1024,
  };
  await run("apt-get", [...PATIENTLY, "update", "-qq"], options);
  const install = ["install", "-y", "-qq", "--no-install-recommends", name];
  await run("apt-get", [...PATIENTLY, ...install], options);
}
