export { IntentFirstAdapter } from "./intent-first-adapter.ts";
export {
  INTENT_FIRST_DEFAULT_THRESHOLDS,
  type IntentFirstNodeset,
  type IntentFirstOptions,
  makeIntentFirstNodeset,
  type NodesetDescription,
} from "./intent-first-nodeset.ts";
export type { NodesetExecution } from "./nodeset-execution.ts";
export type { NodesetStep, StepName } from "./nodeset-steps.ts";
