/** Slack of a sum of shares, for float noise. */
export const shareTolerance = 1e-9;
