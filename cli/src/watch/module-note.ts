/** A file that a run loads as a module, or looked for, with its signature before it was read. */
export interface ModuleNote {
  readonly module: string;
  readonly signature: string;
}

export function isModuleNote(message: unknown): message is ModuleNote {
  return (
    typeof message === "object" &&
    message !== null &&
    "module" in message &&
    typeof message.module === "string" &&
    "signature" in message &&
    typeof message.signature === "string"
  );
}
