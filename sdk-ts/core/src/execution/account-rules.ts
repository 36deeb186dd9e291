import type { AccountMoney } from "./account-money.ts";
import { type FinancingTerms, financingOf } from "./financing.ts";
import type { PretradeLimits } from "./pretrade.ts";

/** Keys of an account in the configuration that bind its orders; decimals are text. */
interface ConfiguredAccount {
  readonly kind: AccountMoney["kind"];
  readonly leverage_max: number | null;
  readonly maintenance: number;
  readonly cash_rate: number;
  readonly debit_rate: number;
  readonly borrow_rate: number;
  readonly day_count: FinancingTerms["dayCount"];
  readonly zone: string;
  readonly instruments: readonly string[];
  readonly limits: {
    readonly max_order_notional: string | null;
    readonly max_gross_notional: string | null;
  };
}

/** The limits of an account of the configuration. */
export function limitsOf({ limits }: Pick<ConfiguredAccount, "limits">): PretradeLimits {
  const { max_order_notional: order, max_gross_notional: gross } = limits;
  return {
    ...(order === null ? {} : { orderNotionalMax: Number(order) }),
    ...(gross === null ? {} : { grossNotionalMax: Number(gross) }),
  };
}

/** The money rules of an account of the configuration, and of its instruments. */
export function moneyOf(
  account: Omit<ConfiguredAccount, "limits">,
  configured: Readonly<Record<string, { readonly leverage_max: number | null }>>,
): AccountMoney {
  const { kind, leverage_max, maintenance, instruments } = account;
  const financing = financingOf(ratesOf(account));
  const own = instruments.flatMap((symbol) => {
    const most = configured[symbol]?.leverage_max ?? null;
    return most === null ? [] : [[symbol, most] as const];
  });
  return {
    kind,
    leverageMax: leverage_max ?? 1,
    ...(maintenance === 0 ? {} : { maintenance }),
    ...(own.length === 0 ? {} : { instrumentLeverageMax: Object.fromEntries(own) }),
    ...(financing === undefined ? {} : { financing }),
  };
}

/** The rates of an account of the configuration, with those that are 0. */
export function ratesOf(
  account: Pick<
    ConfiguredAccount,
    "cash_rate" | "debit_rate" | "borrow_rate" | "day_count" | "zone"
  >,
): FinancingTerms {
  const { cash_rate, debit_rate, borrow_rate, day_count, zone } = account;
  return {
    ...{ cashRate: cash_rate, debitRate: debit_rate, borrowRate: borrow_rate },
    ...{ dayCount: day_count, zone },
  };
}
