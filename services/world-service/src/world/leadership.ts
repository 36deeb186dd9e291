import { RowLeadership, type RowLeadershipOptions } from "@qmtl/service-kit";

/** Name of the service in refusals and in the log. */
export const serviceName = "WorldService";

/** How long a leader may be silent before another takes over, milliseconds. */
export const leaderMsDefault = 1_000;

/** How often a leader renews, milliseconds. */
const renewMs = 250;

type WorldLeadershipOptions = Pick<RowLeadershipOptions, "db" | "clock" | "logger" | "holder"> & {
  /** @default 1000 */
  readonly leaderMs?: number;
};

/** Leadership among several processes, by a row of the service's own database. */
export function worldLeadership(options: WorldLeadershipOptions): RowLeadership {
  return new RowLeadership({
    leaderMs: leaderMsDefault,
    renewMs,
    ...options,
    service: serviceName,
    table: {
      table: "world.leadership",
      only: "one",
      holder: "holder",
      epoch: "epoch",
      expires: "expires_at",
    },
  });
}
