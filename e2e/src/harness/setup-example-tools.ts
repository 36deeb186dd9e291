import { installDebianPackage } from "@qmtl/service-kit/testing";
import { canInstallChromium, chromiumTool } from "../../../examples/smoke/chromium-tool.ts";
import { setUpGo } from "../../../examples/smoke/go-tool.ts";
import { setUpGrpcurl } from "../../../examples/smoke/grpcurl-tool.ts";
import { setUpPython } from "../../../examples/smoke/python-venv.ts";

/** Result of setting up one tool. */
export interface ToolSetup {
  readonly service: string;
  /** Why it is not ready; undefined when it is. */
  readonly missing: string | undefined;
  /** True when nothing fails without it. */
  readonly isOptional: boolean;
}

/**
 * Makes sure that the examples in other languages can run: Python with grpcio, Go with its protobuf plugins, grpcurl,
 * and a browser. Quick when they are installed.
 */
export async function setupExampleTools(): Promise<ToolSetup[]> {
  const isBrowserOptional = !canInstallChromium();
  return [
    { service: "python grpcio", missing: await whyMissing(setUpPython), isOptional: false },
    { service: "go", missing: await whyMissing(setUpGo), isOptional: false },
    { service: "grpcurl (optional)", missing: await whyMissing(setUpGrpcurl), isOptional: true },
    {
      service: isBrowserOptional ? "chromium (optional)" : "chromium",
      missing: await whyMissing(setUpChromium),
      isOptional: isBrowserOptional,
    },
  ];
}

async function setUpChromium(): Promise<void> {
  if (chromiumTool().program === undefined) await installDebianPackage("chromium", "chromium");
}

async function whyMissing(setUp: () => Promise<void>): Promise<string | undefined> {
  try {
    await setUp();
    return undefined;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    return message.trim().split("\n").slice(0, 3).join(" | ");
  }
}
