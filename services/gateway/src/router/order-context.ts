import type { ExecutionDomain } from "@qmtl/core/gate";

/** What an order left under; stored with it. */
export interface OrderContext {
  readonly fence: number;
  readonly decisionId: string;
  /** Session that wanted it; empty for the router's own. */
  readonly sessionId: string;
  readonly domain: ExecutionDomain;
  readonly row: number;
}
