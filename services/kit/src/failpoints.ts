import { QmtlError } from "@qmtl/sdk/rpc";

/** Name of the environment variable: `name[:n][,name[:n]…]`. */
export const FAILPOINT_ENV = "QMTL_FAILPOINT";

export interface FailpointOptions {
  /** Text of QMTL_FAILPOINT: dies at the n-th hit of `name`, n from 1. @default 1 for n */
  spec: string | undefined;
  /** `test.test_mode` of the configuration. */
  testMode: boolean;
  /** How to die. @default SIGKILL to this process */
  die?: () => void;
}

/**
 * Points at which a test may kill the process, before and after each commit that matters.
 *
 * A failpoint that is not armed costs one map lookup. Names are `<service>.<what>.before_commit` or `.after_commit`.
 */
export class Failpoints {
  readonly #hitsLeft = new Map<string, number>();
  #die: () => void = () => process.kill(process.pid, "SIGKILL");

  /**
   * Arms what `spec` names; call once at start-up.
   *
   * @throws {QmtlError} FAILPOINT_REFUSED when something is named without test mode: a process that handles real orders
   * must not start with a way to kill itself. CONFIG_INVALID for a text that cannot be read.
   */
  arm(options: FailpointOptions): void {
    const spec = options.spec?.trim() ?? "";
    if (spec === "") return;
    if (!options.testMode) {
      throw new QmtlError(
        "FAILPOINT_REFUSED",
        `${FAILPOINT_ENV} is set but test.test_mode is off`,
        {
          metadata: { failpoint: spec },
        },
      );
    }
    if (options.die !== undefined) this.#die = options.die;
    for (const part of spec.split(",")) {
      const match = /^([a-z][a-z0-9_.]*)(?::([1-9][0-9]{0,8}))?$/.exec(part.trim());
      if (match === null) {
        throw new QmtlError("CONFIG_INVALID", `${FAILPOINT_ENV}: cannot read "${part}"`, {
          fields: [{ field: FAILPOINT_ENV, description: "expected name or name:n, n from 1" }],
        });
      }
      this.#hitsLeft.set(match[1]!, Number(match[2] ?? 1));
    }
  }

  /** Passes the point, or kills the process; then it never resolves, so nothing after it runs. */
  hit(name: string): Promise<void> {
    const left = this.#hitsLeft.get(name);
    if (left === undefined) return Promise.resolve();
    this.#hitsLeft.set(name, left - 1);
    if (left !== 1) return Promise.resolve();
    this.#die();
    return new Promise(() => {});
  }
}

/** The failpoints of this process. */
export const failpoints = new Failpoints();
