-- Sessions that a replay feed does not wait for because they were silent, so that a gateway that starts does not either.
create table {{schema}}.dropped_runner (
  session_id text not null,
  source text not null,
  dropped_ms bigint not null,
  primary key (session_id, source)
);
