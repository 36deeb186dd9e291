/** A change of one book; lots signed. */
export interface PlannedDelta {
  readonly world: string;
  readonly strategy: string;
  readonly instrument: string;
  readonly lots: number;
}

/** A trade between two strategies at the plan's mark; lots above 0. */
export interface PlannedCross {
  readonly instrument: string;
  readonly lots: number;
  readonly price: number;
  readonly buyer: { readonly world: string; readonly strategy: string };
  readonly seller: { readonly world: string; readonly strategy: string };
}

/** What WorldService planned from this account's books. */
export interface RebalancePlan {
  readonly accountRevision: number;
  readonly isExecutable: boolean;
  readonly deltas: readonly PlannedDelta[];
  readonly crosses: readonly PlannedCross[];
  readonly shares: readonly {
    readonly world: string;
    readonly strategy: string;
    readonly share: number;
  }[];
}
