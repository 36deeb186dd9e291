import { type FieldViolation, QmtlError } from "@qmtl/sdk/rpc";
import type { Queryable } from "@qmtl/service-kit/db";
import type { JournalOp } from "../store/journal-op.ts";
import { readJournal } from "../store/journal-store.ts";
import { hasOrderTables, tradedInstruments } from "../store/order-table.ts";
import type { AccountSettings } from "./account-settings.ts";
import { RecordedSettings } from "./recorded-settings.ts";

/** Entries of a journal that are read at once. */
const settingsMax = 1_000;

/**
 * Refuses accounts whose books were kept with other cash, currency, lots or multipliers, without rebuilding the books:
 * for a gateway that is to take them over later. What only a replay shows is still refused then.
 *
 * @throws {QmtlError} CONFIG_INVALID naming each key
 */
export async function refuseContradictions(
  db: Queryable,
  accounts: readonly AccountSettings[],
): Promise<void> {
  if (!(await hasOrderTables(db))) return;
  const found: FieldViolation[] = [];
  for (const settings of accounts) {
    const recorded = await recordedOf(db, settings.account);
    const traded = await tradedInstruments(db, settings.account);
    found.push(...recorded.contradictionsOf(settings, (symbol) => traded.has(symbol)));
  }
  if (found.length > 0) throw contradicted(found);
}

/** The refusal of a configuration that contradicts the books. */
export function contradicted(fields: readonly FieldViolation[]): QmtlError {
  const message = fields.map(({ field, description }) => `${field} ${description}`).join("; ");
  return new QmtlError("CONFIG_INVALID", message, { fields });
}

async function recordedOf(db: Queryable, account: string): Promise<RecordedSettings> {
  const recorded = new RecordedSettings();
  for (let after = 0; ; ) {
    const rows = await readJournal(db, account, after, settingsMax, ["settings"]);
    for (const { entry, bodyJson } of rows) {
      const op = JSON.parse(bodyJson) as JournalOp;
      if (op.op === "settings") recorded.take(op);
      after = entry;
    }
    if (rows.length < settingsMax) return recorded;
  }
}
