import { blake3Hex } from "@qmtl/core/canonical";
import type { HashText } from "@qmtl/core/gate";

/** "blake3:" and the digest of a text: how gate states, policies and requests are hashed. */
export const hashText: HashText = (text) => `blake3:${blake3Hex(text)}`;
