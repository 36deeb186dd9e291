import type { PlatformPackages } from "./platform-packages.ts";

/** What of a project its `package.json` records beside the packages. */
export interface ManifestFacts {
  /** The signal comes with the data: bars are made with one, and layer `signal` is not asked for. */
  readonly externalSignal: boolean;
}

/** The text of `package.json`: the template's, with the packages of the platform. */
export function packageManifest(
  template: string,
  packages: PlatformPackages,
  facts: ManifestFacts,
): string {
  const { scripts, devDependencies, optionalDependencies, ...rest } = JSON.parse(template) as {
    scripts: Record<string, string>;
    devDependencies: Record<string, string>;
    optionalDependencies: Record<string, string>;
  };
  const data = `${scripts.data}${facts.externalSignal ? " --with-signal" : ""}`;
  const manifest = {
    ...rest,
    ...(facts.externalSignal ? { qmtl: { signal_source: "external" } } : {}),
    scripts: { ...scripts, data },
    dependencies: packages,
    devDependencies,
    optionalDependencies,
  };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}
