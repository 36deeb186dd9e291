export { BackupError, type BackupErrorReason } from "./backup-error.ts";
export type { BackupProgress } from "./backup-progress.ts";
export type { Manifest } from "./manifest.ts";
export {
  type Restored,
  type RestoreOptions,
  restoreBackup,
  type Verified,
  type VerifyOptions,
  verifyBackup,
  verifyRestore,
} from "./restore-backup.ts";
export { type BackupOptions, writeBackup } from "./write-backup.ts";
