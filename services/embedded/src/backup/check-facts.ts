import type { Tx } from "@qmtl/service-kit/db";
import { BackupError } from "./backup-error.ts";
import type { Manifest } from "./manifest.ts";
import { fullName } from "./store-tables.ts";

/** What must hold of any store, however it came about. Each query names what breaks its law. */
const laws = [
  {
    needs: ["gateway.journal"],
    law: "the entries of an account's journal follow one another without a gap",
    broken: `select account_id as name from gateway.journal group by account_id
      having max(entry) - min(entry) + 1 <> count(*)`,
  },
  {
    needs: ["gateway.account_snapshot", "gateway.journal"],
    law: "a snapshot of an account is of an entry that its journal has",
    broken: `select account_id as name from gateway.account_snapshot s where s.piece = 0 and not exists
      (select from gateway.journal j where j.account_id = s.account_id and j.entry = s.entry)`,
  },
  {
    needs: ["dag.queue_record", "dag.queue_head"],
    law: "the records of a queue follow one another without a gap, up to its head",
    broken: `select r.compute_key as name from dag.queue_record r
      left join dag.queue_head h on h.compute_key = r.compute_key group by r.compute_key, h.next_offset
      having max(r.log_offset) - min(r.log_offset) + 1 <> count(*)
        or max(r.log_offset) + 1 is distinct from h.next_offset`,
  },
  {
    needs: ["dag.queue_head"],
    law: "no record of a queue is of an epoch that was not granted",
    broken: `select h.compute_key as name from dag.queue_head h join dag.node_lease l using (compute_key)
      where h.epoch > l.epoch`,
  },
  {
    needs: ["world.audit"],
    law: "the audit of a world is without a gap, up to its count",
    broken: `select a.world_id as name from world.audit a join world.world w using (world_id)
      group by a.world_id, w.audit_entries
      having max(a.entry) - min(a.entry) + 1 <> count(*) or max(a.entry) <> w.audit_entries`,
  },
  {
    needs: ["world.world", "world.gate"],
    law: "every world has a gate",
    broken: `select world_id as name from world.world where world_id not in (select world_id from world.gate)`,
  },
  {
    needs: ["world.gate"],
    law: "no world has a fence at or below zero",
    broken: "select world_id as name from world.gate where fence <= 0 or store_epoch <= 0",
  },
] as const;

/**
 * Checks a store that was just loaded; resolves to the number of laws checked.
 *
 * @throws {BackupError} BACKUP_INCONSISTENT, naming the law and what breaks it
 */
export async function checkFacts(tx: Tx, manifest: Manifest): Promise<number> {
  const there = new Set(manifest.tables.map(fullName));
  const asked = laws.filter(({ needs }) => needs.every((name) => there.has(name)));
  for (const { law, broken } of asked) {
    const [found] = await tx.query<{ name: string }>(`${broken} limit 1`);
    if (found === undefined) continue;
    throw new BackupError("BACKUP_INCONSISTENT", `${law}; not so for ${found.name}`);
  }
  return asked.length;
}
