-- An append that was folded over heads known before: all of it, or nothing (false) when a head does not stand
-- where it stood then, is blocked, or `leader` (null: nobody else can) does not lead any more. A function, so
-- that it costs one round trip and its plans are kept. `heads` come in the order of their keys.
create function dag.append_known(heads jsonb, entries jsonb, leader text) returns boolean
language plpgsql as $$ declare head record; begin
  if leader is not null then
    perform 1 from dag.leadership l where l.owner = leader and l.until > now();
    if not found then return false; end if;
  end if;
  for head in select * from jsonb_to_recordset(heads) as h(k text, was bigint) loop
    perform 1 from dag.queue_head h
      where h.compute_key = head.k and h.next_offset = head.was and not h.is_blocked for update;
    if not found then return false; end if;
  end loop;
  for head in
    select * from jsonb_to_recordset(heads) as h(k text, next_offset bigint, epoch bigint, next_seq bigint,
      next_row bigint, known_at_ms float8, watermark_ms float8, is_ended boolean, last_bucket_end_ms float8)
  loop
    update dag.queue_head h set next_offset = head.next_offset, epoch = head.epoch, next_seq = head.next_seq,
      next_row = head.next_row, known_at_ms = head.known_at_ms, watermark_ms = head.watermark_ms,
      is_ended = head.is_ended, last_bucket_end_ms = head.last_bucket_end_ms
    where h.compute_key = head.k;
  end loop;
  insert into dag.queue_record (compute_key, log_offset, kind, epoch, seq, count, first_row, last_row,
    known_at_ms, bytes)
  select e.* from jsonb_to_recordset(entries) as e(compute_key text, log_offset bigint, kind smallint,
    epoch bigint, seq bigint, count integer, first_row bigint, last_row bigint, known_at_ms float8, bytes bytea);
  return true;
end
$$;
