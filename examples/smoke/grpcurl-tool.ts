import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheFolder } from "./cache-folder.ts";
import { isProgram, programOnPath } from "./program-on-path.ts";
import type { Tool } from "./suite-of-tool.ts";

const version = "1.9.3";
const buildMsMax = 600_000;

function cached(): string {
  return join(cacheFolder(), `grpcurl-${version}`, "grpcurl");
}

/** `grpcurl` of PATH, else the one built into the cache folder. It is a convenience: no machine has to have it. */
export function grpcurlTool(): Tool {
  const program = programOnPath("grpcurl") ?? (isProgram(cached()) ? cached() : undefined);
  return { name: "grpcurl", program, isExpectedInCi: false };
}

/** Builds `grpcurl` with Go unless it is there. Takes a minute or two the first time. */
export async function setUpGrpcurl(): Promise<void> {
  if (grpcurlTool().program !== undefined) return;
  const go = programOnPath("go");
  if (go === undefined) throw new Error("needs grpcurl, or Go to build it");
  const folder = join(cacheFolder(), `grpcurl-${version}`);
  const unfinished = `${folder}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(unfinished, { recursive: true });
    await promisify(execFile)(
      go,
      ["install", `github.com/fullstorydev/grpcurl/cmd/grpcurl@v${version}`],
      { env: { ...process.env, GOBIN: unfinished }, timeout: buildMsMax },
    );
    await rename(unfinished, folder).catch((cause: unknown) => {
      if (!isProgram(cached())) throw cause; // else another process was first
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
