import { blake3Hex, jcs } from "@qmtl/core/canonical";
import type { QmtlConfig } from "@qmtl/sdk/config";

/** Characters of a hash: enough to tell two values of one key apart. */
const hashLength = 16;

/**
 * What a gateway trades by, as a hash for each key: its accounts, their instruments, and the feeds those name. Hashes,
 * because the settings of a feed may hold a secret. JSON.
 */
export function settingsText(config: QmtlConfig): string {
  const hashes = new Map<string, string>();
  const take = (path: string, section: object): void => {
    for (const [key, value] of Object.entries(section)) {
      const text = blake3Hex(JSON.stringify(value) ?? "");
      hashes.set(`${path}.${key}`, text.slice(0, hashLength));
    }
  };
  for (const [account, section] of Object.entries(config.accounts)) {
    take(`accounts.${account}`, section);
    for (const symbol of section.instruments) {
      const instrument = config.instruments[symbol];
      if (instrument !== undefined) take(`instruments.${symbol}`, instrument);
    }
  }
  for (const [name, source] of Object.entries(config.sources)) take(`sources.${name}`, source);
  return jcs(Object.fromEntries(hashes));
}

/** Keys in which two gateways differ, sorted; none where one does not state its settings. */
export function differingKeys(own: string, others: string): string[] {
  if (own === "" || others === "") return [];
  const [a, b] = [hashesOf(own), hashesOf(others)];
  return [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key)).sort();
}

function hashesOf(text: string): ReadonlyMap<string, unknown> {
  return new Map(Object.entries<unknown>(JSON.parse(text)));
}
