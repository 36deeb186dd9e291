import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { column, DeclarationError, Strategy, StreamInput, sma } from "../../strategy/index.ts";
import { identifyStrategy } from "./identify-strategy.ts";
import { StrategyRunError } from "./strategy-run-error.ts";

const here = basename(fileURLToPath(import.meta.url));

function close() {
  return column(new StreamInput({ source: "spx", columns: ["close"], interval: "1d" }), "close");
}

function refusal(strategy: Parameters<typeof identifyStrategy>[0]): unknown {
  try {
    return identifyStrategy(strategy, { worldId: "w" });
  } catch (error) {
    return error;
  }
}

describe("a strategy that cannot be named is refused with its place", () => {
  test("a setup that throws", () => {
    class Throws extends Strategy {
      static readonly module = import.meta.url;
      override setup(): void {
        throw new TypeError("no such market");
      }
    }

    const error = refusal(Throws);

    expect(error).toBeInstanceOf(StrategyRunError);
    expect(error).toMatchObject({
      reason: "STRATEGY_SETUP_FAILED",
      cause: expect.any(TypeError),
      message: expect.stringMatching(/^Throws: setup\(\) failed: no such market \(.*\.ts:\d+\)$/),
    });
  });

  test("a constructor that throws", () => {
    class Broken extends Strategy {
      constructor() {
        super();
        throw new Error("no key");
      }
      override setup(): void {}
    }

    expect(refusal(Broken)).toMatchObject({
      reason: "STRATEGY_SETUP_FAILED",
      message: "Broken: its constructor failed: no key",
    });
  });

  test("a setup that declares nothing", () => {
    class Empty extends Strategy {
      static readonly module = import.meta.url;
      override setup(): void {}
    }

    expect(refusal(Empty)).toMatchObject({
      reason: "EMPTY_STRATEGY",
      message: expect.stringContaining(
        `Strategy "Empty": has no nodes; add them in setup() with addNodes or addNodeset (${here}`,
      ),
    });
  });

  test("a setup that is async", () => {
    class Late extends Strategy {
      override async setup(): Promise<void> {
        this.addNodes([sma(close(), 3)]);
      }
    }

    expect(refusal(Late)).toMatchObject({ reason: "INVALID_FIELD", field: "Strategy.setup" });
  });

  test("a wrong field", () => {
    class Wrong extends Strategy {
      static readonly module = import.meta.url;
      override setup(): void {
        this.addNodes([sma(close(), 0)]);
      }
    }

    const error = refusal(Wrong);

    expect(error).toBeInstanceOf(DeclarationError);
    expect(String(error)).toMatch(
      /sma\.window: must be an integer in 1\.\.10000, not 0 \(.*\.ts:\d+\)$/,
    );
  });

  test("other nodes each time", () => {
    let runs = 0;
    class Counting extends Strategy {
      override setup(): void {
        runs++;
        this.addNodes([sma(close(), 3), sma(close(), 10 + runs, { name: `mean${runs}` })]);
      }
    }

    expect(refusal(Counting)).toMatchObject({
      reason: "NODES_DIFFER",
      message: expect.stringContaining('among them "mean2"'),
    });
  });

  test("fewer nodes the second time", () => {
    let runs = 0;
    class Forgetful extends Strategy {
      override setup(): void {
        this.addNodes([sma(close(), 3)]);
        if (runs++ === 0) this.addNodes([sma(close(), 5)]);
      }
    }

    expect(refusal(Forgetful)).toMatchObject({ reason: "NODES_DIFFER" });
  });
});

test("the order nodes are declared in is no difference", () => {
  let runs = 0;
  class Either extends Strategy {
    override setup(): void {
      const [a, b] = [sma(close(), 3), sma(close(), 5)];
      this.addNodes(runs++ % 2 === 0 ? [a, b] : [b, a]);
    }
  }

  const first = identifyStrategy(Either, { worldId: "w" }).graph;
  const second = identifyStrategy(new Either(), { worldId: "v" }).graph;

  expect(second.nodes.map((node) => node.id)).toEqual(first.nodes.map((node) => node.id));
});
