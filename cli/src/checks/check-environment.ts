import { leafKeys } from "@qmtl/sdk/config";
import type { Check } from "./check.ts";

/** Warns of variables that look like a configuration key but are not read as one, such as `QMTL_GATEWAY_PORT`. */
export function checkEnvironment(env: Readonly<Record<string, string | undefined>>): Check[] {
  const keys = new Map(leafKeys().map((key) => [key.replaceAll(".", "_"), key]));
  return Object.keys(env).flatMap((variable): Check[] => {
    if (!/^QMTL_/i.test(variable) || variable.startsWith("QMTL__")) return [];
    const key = keys.get(
      variable.slice("QMTL_".length).toLowerCase().replace(/_+/g, "_").replace(/^_/, ""),
    );
    if (key === undefined) return [];
    const meant = `QMTL__${key.toUpperCase().replaceAll(".", "__")}`;
    const detail = `${variable} is set, but nothing reads it`;
    return [{ name: "environment", status: "warning", detail, fix: `rename it to ${meant}` }];
  });
}
