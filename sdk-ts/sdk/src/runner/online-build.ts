import { blake3Hex, jcs } from "@qmtl/core/canonical";

/** Version of the executors: raised when the same code may give other bits. */
const engineVersion = "qmtl-engine/1";

/** Build of a node as this process computes it: runtime, executors and code. */
export function hostedBuild(codeHash: string): string {
  return `blake3:${blake3Hex(jcs([process.version, process.arch, engineVersion, codeHash]))}`;
}
