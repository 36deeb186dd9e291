import { describe, it } from "vitest";

/** A tool that a machine may lack. */
export interface Tool {
  readonly name: string;
  /** Path of its program; undefined where it cannot be had. */
  readonly program: string | undefined;
  /** True: with CI=true its absence is a failure. */
  readonly isExpectedInCi: boolean;
}

const HINT = "run npm run services:setup";

/** A suite that needs a tool. Where it is absent the suite is one skipped test that says so, or one that fails. */
export function describeWithTool(name: string, tool: Tool, fn: (program: string) => void): void {
  describe(name, () => {
    if (tool.program !== undefined) {
      fn(tool.program);
      return;
    }
    const message = `${name} needs ${tool.name}, which is not there: ${HINT}`;
    if (tool.isExpectedInCi && process.env.CI === "true") {
      it(message, () => {
        throw new Error(message);
      });
    } else {
      it.skip(`SKIPPED: ${message}`, () => {});
    }
  });
}
