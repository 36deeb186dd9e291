import type { Check } from "./check.ts";

/** Oldest Node that has all the platform uses. */
const nodeMajorMin = 24;

/** The Node that runs this very command. */
export function checkNode(version = process.versions.node, path = process.execPath): Check {
  const name = "node";
  const detail = `${version} at ${path}`;
  if (Number(version.split(".")[0]) >= nodeMajorMin) return { name, status: "ok", detail };
  const fix = `needs Node ${nodeMajorMin} or newer: install it, or the optional packages node-<platform>-<cpu> beside qmtl-cli`;
  return { name, status: "error", detail, fix };
}
