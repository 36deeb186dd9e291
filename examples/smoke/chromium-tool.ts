import { existsSync } from "node:fs";
import { programOnPath } from "./program-on-path.ts";
import type { Tool } from "./suite-of-tool.ts";

const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/** Whether `npm run services:setup` can install it here: as root on Debian or a derivative. */
export function canInstallChromium(): boolean {
  return process.getuid?.() === 0 && existsSync("/etc/debian_version");
}

/** The browser of this machine. It is expected in CI where it can be installed. */
export function chromiumTool(): Tool {
  const program = names.map(programOnPath).find((found) => found !== undefined);
  return { name: "Chromium", program, isExpectedInCi: canInstallChromium() };
}
