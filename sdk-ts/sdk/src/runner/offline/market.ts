import {
  type AccountMoney,
  financingOf,
  limitsOf,
  moneyOf,
  type OfflineInstrument,
  type PretradeLimits,
  ratesOf,
  UNLEVERAGED,
} from "@qmtl/core/execution";
import type { QmtlConfig } from "../../config/index.ts";
import { executionOf } from "../../nodesets/nodeset-execution.ts";
import type { InstrumentFunding } from "../source-files/funding-column.ts";
import type { DeclaredTarget, IdentifiedStrategy } from "../strategy-loading/identify-strategy.ts";
import { StrategyRunError } from "../strategy-loading/strategy-run-error.ts";
import type { CompiledOfflineOptions } from "./offline-options.ts";

/** An instrument with the target node that decides on it. */
export interface MarketInstrument {
  readonly target: DeclaredTarget;
  /** The instrument with its costs and fill rule. */
  readonly traded: OfflineInstrument;
  /** Entry of `sources:` on whose bars orders fill and whose close is the mark. */
  readonly markSource: string;
  /** Where its funding is stated; null: it has none. */
  readonly funding: InstrumentFunding | null;
}

/** What is traded, at which costs, with how much money. */
export interface OfflineMarket {
  /** One per target, sorted by symbol: nodes of a graph are sorted by ids, which change with every param. */
  readonly instruments: readonly MarketInstrument[];
  /** Account of the configuration on which it trades; undefined in a configuration without accounts. */
  readonly accountId: string | undefined;
  readonly initialCash: number;
  readonly currency: string;
  /** Limits of the account. */
  readonly limits: PretradeLimits;
  /** Money rules of the account, with what the run sets of them. */
  readonly money: AccountMoney;
  /** Whether the account or the run states a leverage; otherwise it is 1. */
  readonly isLeverageStated: boolean;
}

type Config = Pick<QmtlConfig, "instruments" | "accounts">;
type AccountConfig = QmtlConfig["accounts"][string];
type InstrumentConfig = QmtlConfig["instruments"][string];

/**
 * Finds the market of a strategy's targets in the configuration. The account is the one that the run names, else the only
 * one that lists all instruments. Costs, fill rule and cash are those of the run, else
 * of the target's node set, else of the account. In a configuration without accounts, fee and half spread are 1 bp each.
 *
 * @throws {StrategyRunError} without a target, for two of one instrument, for instruments that no one account lists or
 * that are quoted in several currencies, and for node sets that start with different cash.
 */
export function findMarket(
  identified: IdentifiedStrategy,
  options: CompiledOfflineOptions,
): OfflineMarket {
  const targets = checkedTargets(identified);
  const { config } = options;
  const specs = targets.map(({ node }) => specOf(node.instrument, config));
  const symbols = targets.map(({ node }) => node.instrument);
  const quoted = new Set(specs.map(({ quote_currency }) => quote_currency));
  if (quoted.size > 1) {
    const each = specs.map((spec, at) => `${symbols[at]} in ${spec.quote_currency}`).join(", ");
    const message = `an offline run adds up money of one currency; the instruments are quoted ${each}`;
    throw new StrategyRunError("INSTRUMENTS_MIXED", message);
  }
  const accountId = accountOf(symbols, config, options.accountId);
  const account = accountId === undefined ? undefined : config.accounts[accountId];
  return {
    accountId,
    instruments: targets.map((target, at) => instrumentOf(target, specs[at]!, account, options)),
    initialCash:
      options.initialCash ?? nodesetCash(targets) ?? Number(account?.initial_cash ?? 1_000_000),
    currency: account?.currency ?? specs[0]!.quote_currency,
    limits: account === undefined ? {} : limitsOf(account),
    money: moneyRules(account, options),
    isLeverageStated:
      options.account.leverageMax !== undefined || (account?.leverage_max ?? null) !== null,
  };
}

/** @throws {StrategyRunError} for a leverage that an account of kind cash does not have. */
function moneyRules(
  account: AccountConfig | undefined,
  { account: given, config }: CompiledOfflineOptions,
): AccountMoney {
  const stated = account === undefined ? UNLEVERAGED : moneyOf(account, config.instruments);
  const { kind, leverageMax, maintenance, ...rates } = given;
  const financing = financingOf({
    ...(account === undefined ? {} : ratesOf(account)),
    ...rates,
  });
  const { financing: _, ...rules } = stated;
  const money: AccountMoney = {
    ...rules,
    ...(kind === undefined ? {} : { kind }),
    ...(leverageMax === undefined ? {} : { leverageMax }),
    ...(maintenance === undefined ? {} : { maintenance }),
    ...(financing === undefined ? {} : { financing }),
  };
  if (financing === undefined && (rates.dayCount !== undefined || rates.zone !== undefined)) {
    const key = rates.zone === undefined ? "dayCount" : "zone";
    const message = `account.${key} does nothing, since no rate of the account is other than 0: state cashRate, debitRate or borrowRate, or leave it out`;
    throw new StrategyRunError("ACCOUNT_INVALID", message);
  }
  if (money.leverageMax * (money.maintenance ?? 0) >= 1) {
    const message = `a maintenance of ${money.maintenance} is never kept at a leverage of ${money.leverageMax}: it must be below ${1 / money.leverageMax}`;
    throw new StrategyRunError("ACCOUNT_INVALID", message);
  }
  if (money.kind !== "cash" || money.leverageMax <= 1) return money;
  const message = `an account of kind cash has a leverage of at most 1, not ${money.leverageMax}`;
  throw new StrategyRunError("ACCOUNT_INVALID", message);
}

function checkedTargets({ strategy, targets }: IdentifiedStrategy): readonly DeclaredTarget[] {
  if (targets.length === 0) {
    const message = `strategy "${strategy.name}" declares no target position; add a PositionTargetNode, a WeightTargetNode or a node set`;
    throw new StrategyRunError("TARGET_MISSING", message);
  }
  const symbols = targets.map(({ node }) => node.instrument);
  const twice = symbols.find((symbol, at) => symbols.indexOf(symbol) !== at);
  if (twice === undefined) {
    return targets.toSorted((a, b) => (a.node.instrument < b.node.instrument ? -1 : 1));
  }
  const message = `strategy "${strategy.name}" has two targets for ${twice}; one position has one target`;
  throw new StrategyRunError("TARGET_AMBIGUOUS", message);
}

function specOf(symbol: string, config: Config): InstrumentConfig {
  if (Object.hasOwn(config.instruments, symbol)) return config.instruments[symbol]!;
  const known = Object.keys(config.instruments).join(", ") || "none";
  const message = `the configuration has no instrument "${symbol}"; it has ${known}`;
  throw new StrategyRunError("INSTRUMENT_UNKNOWN", message);
}

/** Ids of the accounts that list all of some symbols, in the order of their names. */
export function accountsListing(
  symbols: readonly string[],
  { accounts }: Pick<Config, "accounts">,
): readonly string[] {
  const lists = ([, { instruments }]: [string, AccountConfig]): boolean =>
    symbols.every((symbol) => instruments.includes(symbol));
  return Object.entries(accounts)
    .filter(lists)
    .map(([id]) => id)
    .sort();
}

/**
 * The account that is named, or else the only one that lists all symbols; undefined in a configuration without accounts.
 *
 * @throws {StrategyRunError} if there are accounts and none lists them all: online nothing could be traded either; if
 * several do and none is named; if the one named does not exist.
 */
function accountOf(
  symbols: readonly string[],
  { accounts }: Config,
  named: string | undefined,
): string | undefined {
  const all = symbols.length === 1 ? symbols[0] : `all of ${symbols.join(", ")}`;
  const ids = Object.keys(accounts);
  const found = accountsListing(symbols, { accounts });
  const told = (these: readonly string[]): string =>
    these.map((id) => `${id} lists ${accounts[id]!.instruments.join(", ")}`).join("; ");
  if (named !== undefined) {
    if (!ids.includes(named)) {
      const message = `the configuration has no account "${named}"; it has ${ids.join(", ") || "none"}`;
      throw new StrategyRunError("ACCOUNT_UNKNOWN", message);
    }
    if (found.includes(named)) return named;
    const message = `the account ${named} does not list ${all}; ${told([named])}`;
    throw new StrategyRunError("INSTRUMENTS_MIXED", message);
  }
  if (found.length > 1) {
    const message = `the accounts ${found.join(", ")} list ${all}, and costs, cash and limits are those of one: name it with accountId, or --account on the command line`;
    throw new StrategyRunError("ACCOUNT_AMBIGUOUS", message);
  }
  if (found.length === 1 || ids.length === 0) return found[0];
  const message = `a strategy trades on one account, and none of accounts: lists ${all}; ${told(ids)}`;
  throw new StrategyRunError("INSTRUMENTS_MIXED", message);
}

function nodesetCash(targets: readonly DeclaredTarget[]): number | undefined {
  const given = targets.flatMap(({ name, node }) => {
    const cash = executionOf(node)?.initialCash;
    return cash === undefined ? [] : [{ name, cash }];
  });
  const [first] = given;
  const other = given.find(({ cash }) => cash !== first?.cash);
  if (first === undefined || other === undefined) return first?.cash;
  const each = `"${first.name}" with ${first.cash}, "${other.name}" with ${other.cash}`;
  const message = `node sets of one strategy share its cash, but they differ: the set of ${each}; give both the same initialCash`;
  throw new StrategyRunError("CASH_AMBIGUOUS", message);
}

function instrumentOf(
  target: DeclaredTarget,
  spec: InstrumentConfig,
  account: AccountConfig | undefined,
  options: CompiledOfflineOptions,
): MarketInstrument {
  const execution = executionOf(target.node);
  const costs = options.costs ??
    execution?.costs ?? {
      feeBps: account?.fee_bps ?? 1,
      halfSpreadBps: account?.half_spread_bps ?? 1,
    };
  const isFree = options.noCosts || execution?.noCosts === true;
  return {
    target,
    traded: {
      symbol: target.node.instrument,
      lotSize: spec.lot,
      tick: Number(spec.tick),
      multiplier: Number(spec.multiplier),
      notionalMin: Number(spec.min_notional),
      drift: target.node.drift,
      sameBarClose: options.sameBarClose || execution?.sameBarClose === true,
      ...(isFree ? { noCosts: true as const } : { costs }),
    },
    markSource: spec.mark_source,
    funding: spec.funding,
  };
}
