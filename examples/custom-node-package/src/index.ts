export { efficiencyOf, efficiencyRatio } from "./efficiency-ratio.ts";
export { zScore, zScoreOf } from "./z-score.ts";
