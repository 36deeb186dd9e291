import { jcs } from "@qmtl/core/canonical";
import type { AccountMoney, PretradeLimits, TradingCosts } from "@qmtl/core/execution";
import type { FieldViolation } from "@qmtl/sdk/rpc";
import type { JournalOp } from "../store/journal-op.ts";
import type { AccountInstrument, AccountSettings } from "./account-settings.ts";

type SettingsOp = Extract<JournalOp, { op: "settings" }>;
type RecordedInstrument = NonNullable<SettingsOp["instruments"]>[number];

/**
 * The settings that the books of an account rest on, as its journal records them. Costs, limits and money rules may
 * change between two starts; the journal says from which entry on. Lots, multipliers, currency and initial cash of a
 * book may not. Before the first entry with money rules, none binds.
 */
export class RecordedSettings {
  #initialCash: number | undefined;
  #currency: string | undefined;
  #costs: TradingCosts | undefined;
  #limits: PretradeLimits | undefined;
  #money: AccountMoney | undefined;
  readonly #instruments = new Map<string, RecordedInstrument>();

  /** Takes over the settings that an entry records. */
  take({ initialCash, currency, costs, limits, money, instruments = [] }: SettingsOp): void {
    this.#initialCash = initialCash ?? this.#initialCash;
    this.#currency = currency ?? this.#currency;
    this.#costs = costs ?? this.#costs;
    this.#limits = limits ?? this.#limits;
    this.#money = money ?? this.#money;
    for (const instrument of instruments) this.#instruments.set(instrument.symbol, instrument);
  }

  /** All recorded settings, as a single entry would record them. */
  get journaled(): SettingsOp {
    return {
      op: "settings",
      ...(this.#initialCash === undefined ? {} : { initialCash: this.#initialCash }),
      ...(this.#currency === undefined ? {} : { currency: this.#currency }),
      ...(this.#costs === undefined ? {} : { costs: this.#costs }),
      ...(this.#limits === undefined ? {} : { limits: this.#limits }),
      ...(this.#money === undefined ? {} : { money: this.#money }),
      instruments: [...this.#instruments.values()],
    };
  }

  /** The settings that are still to be journaled; undefined when the journal has them all. */
  changeTo(settings: AccountSettings): SettingsOp | undefined {
    const { initialCash, currency, costs, limits, money } = settings;
    const instruments = settings.instruments
      .map(({ symbol, lotSize, multiplier = 1 }) => ({ symbol, lotSize, multiplier }))
      .filter((one) => !isSameInstrument(one, this.#instruments.get(one.symbol)));
    const change = {
      ...(initialCash === this.#initialCash ? {} : { initialCash }),
      ...(currency === this.#currency ? {} : { currency }),
      ...(isSame(costs, this.#costs) ? {} : { costs }),
      ...(isSameLimits(limits, this.#limits) ? {} : { limits }),
      ...(isSame(money, this.#money) ? {} : { money }),
      ...(instruments.length === 0 ? {} : { instruments }),
    };
    return Object.keys(change).length === 0 ? undefined : { op: "settings", ...change };
  }

  /** Keys of the configuration that contradict the books, each with what to do about it. */
  contradictionsOf(
    settings: AccountSettings,
    hasBook: (instrument: string) => boolean,
  ): FieldViolation[] {
    const { account, initialCash, currency } = settings;
    const found: FieldViolation[] = [];
    const refuse = (field: string, was: string, is: string, otherwise: string): void => {
      if (was === is) return;
      const description = `is ${is}, and the books of account ${account} are kept in ${was}: put ${was} back, or ${otherwise}`;
      found.push({ field, description });
    };
    const otherAccount = "trade on an account of another name";
    const cash = String(this.#initialCash ?? initialCash);
    refuse(`accounts.${account}.initial_cash`, cash, String(initialCash), otherAccount);
    refuse(`accounts.${account}.currency`, this.#currency ?? currency, currency, otherAccount);
    for (const { symbol, lotSize, multiplier = 1 } of settings.instruments) {
      const was = this.#instruments.get(symbol);
      if (was === undefined || !hasBook(symbol)) continue;
      const otherName = `trade it as an instrument of another name, or ${otherAccount}`;
      if (Number(was.lotSize) !== Number(lotSize)) {
        refuse(`instruments.${symbol}.lot`, was.lotSize, lotSize, otherName);
      }
      const multipliers = [String(was.multiplier), String(multiplier)] as const;
      refuse(`instruments.${symbol}.multiplier`, ...multipliers, otherName);
    }
    return found;
  }
}

/** The violation of an instrument list that lacks an instrument the journal has operations on. */
export function missingInstrument(account: string, symbol: string): FieldViolation {
  return {
    field: `accounts.${account}.instruments`,
    description: `lacks ${symbol}, and the journal of account ${account} has targets or orders of it: put ${symbol} back`,
  };
}

function isSameInstrument(
  { lotSize, multiplier = 1 }: Pick<AccountInstrument, "lotSize" | "multiplier">,
  recorded: RecordedInstrument | undefined,
): boolean {
  return (
    recorded !== undefined &&
    Number(recorded.lotSize) === Number(lotSize) &&
    recorded.multiplier === multiplier
  );
}

function isSameLimits(limits: PretradeLimits, recorded: PretradeLimits | undefined): boolean {
  return (
    recorded !== undefined &&
    recorded.orderNotionalMax === limits.orderNotionalMax &&
    recorded.grossNotionalMax === limits.grossNotionalMax
  );
}

function isSame<T extends AccountMoney | TradingCosts>(is: T, recorded: T | undefined): boolean {
  return recorded !== undefined && jcs(recorded) === jcs(is);
}
