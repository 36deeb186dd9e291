import type { RouterScope } from "@qmtl/core/execution";
import type { Tx } from "@qmtl/service-kit/db";
import type { AccountRouter } from "../account/account-router.ts";
import type { Halt, HaltActions, HaltCoverage } from "../store/halts.ts";

/** Halts one account's part of a scope; `alongside` stores the halt in the same transaction. */
export async function haltAccount(
  router: AccountRouter,
  halt: Halt,
  actions: HaltActions,
  alongside: (tx: Tx) => Promise<void>,
): Promise<{ cancelled: string[]; flattened: string[] }> {
  const booking = router.booking();
  const scope = scopeOf(halt);
  const place = router.journalPlace(scope.world ?? "", scope.strategy ?? "");
  const { haltId, scope: covers, target, reason, principal } = halt;
  booking.note("halt", place, { haltId, scope: covers, target, reason, principal, ...actions });
  if (actions.cancel) {
    booking.apply("halt", { op: "cancel", scope, protective: false }, place, router.permission);
  }
  if (actions.flatten) {
    for (const world of worldsOf(router, scope)) {
      const bucket = router.bucketOf(world);
      const part = { ...scope, world };
      const op = { op: "flatten", scope: part, bucket, origin: "halt_flatten" } as const;
      booking.apply("halt", op, router.journalPlace(world), router.permission);
    }
  }
  await router.commitAndSend(booking, alongside);
  const cancelled = booking.cancels.filter((id) => router.core.order(id)?.state === "cancelled");
  return { cancelled, flattened: booking.sends.map(({ order }) => order.id) };
}

/** Journals that a halt ended. */
export async function resumeAccount(
  router: AccountRouter,
  halt: Halt,
  { reason, principal }: { readonly reason: string; readonly principal: string },
  alongside: (tx: Tx) => Promise<void>,
): Promise<void> {
  const booking = router.booking();
  const { haltId, scope, target } = halt;
  booking.note("resume", router.journalPlace(""), { haltId, scope, target, reason, principal });
  await router.commit(booking, alongside);
}

function scopeOf(halt: HaltCoverage): RouterScope {
  if (halt.scope === "world") return { world: halt.target };
  return halt.scope === "strategy" ? { strategy: halt.target } : {};
}

function worldsOf(router: AccountRouter, scope: RouterScope): string[] {
  if (scope.world !== undefined) return [scope.world];
  return [...new Set(router.core.books().map((book) => book.world))].filter(
    (world) => world !== "",
  );
}

/** The command that sets the halt again. */
export function haltCommand(
  { scope, target, reason }: Halt,
  { cancel, flatten }: HaltActions,
): string {
  const options = [
    ...(scope === "all" ? [] : [`--${scope} ${target}`]),
    `--reason ${JSON.stringify(reason)}`,
    ...(cancel ? ["--cancel"] : []),
    ...(flatten ? ["--flatten"] : []),
  ];
  return `qmtl halt ${options.join(" ")}`;
}
