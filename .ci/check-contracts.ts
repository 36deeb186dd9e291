// Checks the rules of proto/README.md on the contracts as buf builds them.
import { brokenRules, type Finding } from "./contract-rules.ts";

/**
 * What breaks a rule and stays until its contract is changed: rule, then full name. An entry that no longer breaks its
 * rule must be removed, so the list only gets shorter.
 */
const exceptions: readonly string[] = [];

const keyOf = ({ rule, where }: Finding): string => `${rule}: ${where}`;

const found = brokenRules();
const broken = found.filter((finding) => !exceptions.includes(keyOf(finding)));
const mended = exceptions.filter((entry) => !found.some((finding) => keyOf(finding) === entry));
for (const finding of broken) console.error(`${keyOf(finding)} ${finding.what}`);
for (const entry of mended)
  console.error(`${entry} is right: take it out of exceptions in .ci/check-contracts.ts`);
if (broken.length + mended.length > 0) process.exitCode = 1;
else console.log(`the contracts keep their rules, but for ${exceptions.length} exceptions`);
