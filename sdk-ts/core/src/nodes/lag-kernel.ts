import { type Column, numbers, StatelessKernel } from "./kernel.ts";

/** Base of nodes that read the value `lag` rows earlier. */
export abstract class LagKernel extends StatelessKernel {
  protected readonly lag: number;
  protected input: Float64Array = new Float64Array(0);
  protected output: Float64Array = new Float64Array(0);

  constructor(lag: number) {
    super();
    this.lag = lag;
  }

  bind(inputs: readonly Column[], outputs: readonly Column[]): void {
    this.input = numbers(inputs, 0);
    this.output = numbers(outputs, 0);
  }
}

/** Parameters of nodes that look back by a lag. */
export interface LagParams {
  /** Rows between that value and the present one, 1..10000. */
  readonly lag: number;
}
