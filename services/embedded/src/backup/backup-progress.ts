/** How far a long step is; called often. */
export type BackupProgress = (
  step: "backup" | "check" | "restore",
  done: number,
  total: number,
) => void;
