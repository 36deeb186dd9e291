/** What a sentence is made from: an entry of an account's journal. */
export interface JournalEntryFields {
  readonly worldId: string;
  readonly strategyId: string;
  /** Canonical JSON of what took effect. */
  readonly bodyJson: string;
}

/** A journal entry as a sentence; its JSON where this version does not know the entry. */
export function journalSentence({ worldId, strategyId, bodyJson }: JournalEntryFields): string {
  const body = fieldsOf(parsed(bodyJson));
  const sentence = SENTENCES[textOf(body.op)]?.({ ...body, worldId, strategyId });
  return sentence ?? bodyJson;
}

type Body = Readonly<Record<string, unknown>>;

/** The sentence of each router operation. Undefined for a body that lacks what its sentence is about. */
const SENTENCES: Readonly<Record<string, (body: Body) => string | undefined>> = {
  set_target: (body) => {
    const held = body.act === false ? "; no order is made while a halt is in force" : "";
    const stray =
      body.resize === true ? "; it is sized again, because what is held has strayed" : "";
    return `${who(body)} wants ${percent(body.value)} of its capital in ${textOf(body.instrument)}${stray}${held}${because(body.reason)}`;
  },
  submit_order: (body) =>
    `${who(body)} asks to ${trade(body.lots, body.instrument)}${terms(body.terms)}${body.reduceOnly === true ? ", only to reduce" : ""}`,
  rearm: (body) => `${who(body)} catches up with its targets`,
  cancel: (body) => `working orders of ${scope(body.scope)} are cancelled`,
  cancel_order: (body) => `order ${textOf(body.order)} is to be cancelled`,
  compare: (body) =>
    `books are compared with the broker, which holds ${count(held(body.positions), "position")} and ${money(body.cash)} in cash`,
  allocate: (body) => {
    const { share, equity, beginsStage } = fieldsOf(body.input);
    const capital = Number(share) * Number(equity);
    return `${who(fieldsOf(body.input))} gets ${money(capital)} of capital, ${percent(share)} of ${money(equity)}${beginsStage === true ? ", for a new stage" : ""}`;
  },
  rebalance: (body) => {
    const { batchId, crosses, quantities } = fieldsOf(body.input);
    return `rebalance ${textOf(batchId)} moves ${count(crosses, "cross", "crosses")} inside and sets ${count(quantities, "quantity", "quantities")}`;
  },
  demote: (body) => `${who(body)} is demoted, its positions are to be ${demotion(body.onDemote)}`,
  flatten: (body) => `positions of ${scope(body.scope)} are closed (${plain(body.origin)})`,
  state: (body) => `order ${textOf(body.order)} is ${plain(body.state)}${because(body.reason)}`,
  fill: (body) => {
    const { orderId, lots, price, fee } = fieldsOf(body.fill);
    const side = Number(lots) < 0 ? "sold" : "bought";
    return `order ${textOf(orderId)} ${side} ${lotsText(lots)} at ${textOf(price)}, fee ${money(fee)}`;
  },
  bar: (body) => {
    const marks = listOf(body.marks).map(fieldsOf);
    const closes = marks.map((mark) => `${textOf(mark.instrument)} at ${textOf(mark.close)}`);
    return `the bar of ${textOf(body.source)} until ${time(body.bucket)} closes ${closes.join(", ") || "without a mark"}`;
  },
  seal: (body) =>
    `returns are sealed at the marks of ${listOf(body.instruments).map(textOf).join(", ")} at ${time(body.bucket)}`,
  margin: (body) => `positions are reduced for lack of margin at the close of ${time(body.bucket)}`,
  finance: (body) => {
    const { timeMs, interest, borrowFees } = body;
    const paid = Number(interest) < 0 ? "receives" : "pays";
    return `the account ${paid} ${money(Math.abs(Number(interest)))} of interest and pays ${money(borrowFees)} of borrow fees for the day that ends at ${time(timeMs)}`;
  },
  fund: (body) => {
    const { source, timeMs, rates, missing, funding } = body;
    const stated = listOf(rates).map(fieldsOf);
    const each = stated.map(({ instrument, rate }) => `${textOf(rate)} for ${textOf(instrument)}`);
    const none = listOf(missing).map((instrument) => `none for ${textOf(instrument)}`);
    const paid = Number(funding) < 0 ? "receives" : "pays";
    const cost = `the account ${paid} ${money(Math.abs(Number(funding ?? 0)))} of funding`;
    return `${cost} at ${time(timeMs)}: the rates of ${textOf(source)} are ${[...each, ...none].join(", ") || "history"}`;
  },
  settings: settingsSentence,
  adjust_cash: (body) => `cash is adjusted by ${money(body.cash)}`,
  adjust_position: (body) =>
    `the position is adjusted: ${trade(body.lots, body.instrument)} at ${textOf(body.price)}`,
  note: noteSentence,
};

/** Settings of an account. The first such entry states all of them, a later one what has changed. */
function settingsSentence(body: Body): string | undefined {
  const { initialCash, currency, costs, limits, money: rules, instruments } = body;
  const { orderNotionalMax, grossNotionalMax } = fieldsOf(limits);
  const most = (value: unknown): string => (value === undefined ? "any amount" : money(value));
  const parts = [
    ...(initialCash === undefined ? [] : [`it begins with ${money(initialCash)} in cash`]),
    ...(currency === undefined ? [] : [`its currency is ${textOf(currency)}`]),
    ...(costs === undefined ? [] : [costsText(fieldsOf(costs))]),
    ...(limits === undefined
      ? []
      : [
          `one order may be worth ${most(orderNotionalMax)}, all together ${most(grossNotionalMax)}`,
        ]),
    ...(rules === undefined ? [] : [moneyRules(fieldsOf(rules))]),
    ...lotsOf(listOf(instruments)),
  ];
  return parts.length === 0 ? undefined : `from here on: ${parts.join("; ")}`;
}

function costsText({ feeBps, halfSpreadBps }: Body): string {
  return `a fill costs ${textOf(feeBps)} basis points of fee and ${textOf(halfSpreadBps)} of half spread`;
}

function moneyRules({ kind, leverageMax, maintenance, financing }: Body): string {
  const shorts = kind === "cash" ? ", without shorts" : "";
  const least =
    maintenance === undefined
      ? ""
      : `, and are reduced when equity is below ${percent(maintenance)} of them`;
  return `positions may be worth ${textOf(leverageMax)} times its equity${shorts}${least}${ratesText(financing)}`;
}

/** What holding positions costs; nothing for an account without rates. */
function ratesText(financing: unknown): string {
  if (financing === undefined) return "";
  const { cashRate, debitRate, borrowRate, dayCount, zone } = fieldsOf(financing);
  return `, with ${percent(cashRate)} a year on cash, ${percent(debitRate)} on debit and ${percent(borrowRate)} on shorts, each day of ${textOf(zone)} for 1/${textOf(dayCount)} of it`;
}

/** Lot sizes of up to five instruments; of more, only how many there are. */
function lotsOf(instruments: readonly unknown[]): string[] {
  if (instruments.length > 5) return [`it has lots of ${instruments.length} instruments`];
  return instruments
    .map(fieldsOf)
    .map(({ symbol, lotSize }) => `a lot of ${textOf(symbol)} is ${textOf(lotSize)}`);
}

/** Notes record what followed from an operation. */
function noteSentence(body: Body): string | undefined {
  if (body.order !== undefined) {
    const order = fieldsOf(body.order);
    return `order ${textOf(order.id)} of ${who(order)} is to ${trade(order.lots, order.instrument)}${terms(order.terms)} (${plain(order.origin)})`;
  }
  if (body.refused !== undefined) {
    const refused = fieldsOf(body.refused);
    return `${who(refused)} may not ${trade(refused.lots, refused.instrument)}: ${textOf(refused.reason)}`;
  }
  if (body.cross !== undefined) {
    const { buyer, seller, instrument, lots } = fieldsOf(body.cross);
    const parties = `${who(fieldsOf(buyer))} takes ${textOf(instrument)} over from ${who(fieldsOf(seller))}`;
    return lots === undefined ? parties : `${parties}, ${lotsText(lots)}`;
  }
  if (typeof body.cancel === "string") {
    return `order ${textOf(body.cancel)} is to be cancelled by ${textOf(body.principal)}${because(body.reason)}`;
  }
  if (body.lease !== undefined) {
    return `the order lease of world ${textOf(body.world)} is lost: ${plain(body.does)}`;
  }
  if (body.gate !== undefined) {
    return `the gate of world ${textOf(body.world)} is ${plain(body.gate).toLowerCase()} (fence ${textOf(body.fence)}, revision ${textOf(body.revision)})`;
  }
  if (body.batch !== undefined) {
    return `${textOf(body.principal)} executes rebalance ${textOf(body.batch)}${because(body.reason)}`;
  }
  if (body.scope !== undefined) return haltSentence(body);
  if (body.instrument !== undefined) {
    const what = body.instrument === "" ? "cash" : `the position in ${textOf(body.instrument)}`;
    return `${textOf(body.principal)} adjusts ${what} by ${textOf(body.quantity)}${because(body.reason)}`;
  }
  return undefined;
}

/** A halt states what it does to orders; the entry that ends one has no such fields. */
function haltSentence(body: Body): string {
  const { scope: covers, target, principal, reason, cancel, flatten } = body;
  const what = covers === "all" ? "everything" : `${textOf(covers)} ${textOf(target)}`;
  const does = [
    ...(cancel === true ? ["cancelling"] : []),
    ...(flatten === true ? ["closing"] : []),
  ];
  return cancel === undefined
    ? `${textOf(principal)} lets ${what} trade again${because(reason)}`
    : `${textOf(principal)} halts ${what}${does.length > 0 ? `, ${does.join(" and ")}` : ""}${because(reason)}`;
}

function who({ strategy, world, strategyId, worldId }: Body): string {
  const name = textOf(strategy) || textOf(strategyId) || "the account";
  const place = textOf(world) || textOf(worldId);
  return place === "" ? name : `${name} in ${place}`;
}

function scope(value: unknown): string {
  const { world, strategy } = fieldsOf(value);
  if (strategy !== undefined) return `strategy ${textOf(strategy)}`;
  return world === undefined ? "the account" : `world ${textOf(world)}`;
}

function trade(lots: unknown, instrument: unknown): string {
  return `${Number(lots) < 0 ? "sell" : "buy"} ${lotsText(lots)} of ${textOf(instrument)}`;
}

function lotsText(lots: unknown): string {
  const size = Math.abs(Number(lots));
  return `${size} ${size === 1 ? "lot" : "lots"}`;
}

function terms(value: unknown): string {
  const { type, price } = fieldsOf(value);
  return type === undefined ? " at the market" : ` with a ${textOf(type)} at ${textOf(price)}`;
}

function demotion(value: unknown): string {
  return value === "flat" ? "closed" : "kept";
}

function because(reason: unknown): string {
  const text = textOf(reason);
  return text === "" ? "" : `: ${text}`;
}

function percent(value: unknown): string {
  return `${Number((Number(value) * 100).toFixed(2))} %`;
}

function money(value: unknown): string {
  return Number(value).toLocaleString("en-US", { maximumFractionDigits: 2 });
}

function count(value: unknown, one: string, many = `${one}s`): string {
  const { length } = listOf(value);
  return `${length} ${length === 1 ? one : many}`;
}

/** Positions that are not zero: a broker may list instruments of which it holds nothing. */
function held(positions: unknown): readonly unknown[] {
  return listOf(positions).filter((each) => Number(listOf(each)[1]) !== 0);
}

function time(value: unknown): string {
  const ms = Number(value);
  return Number.isFinite(ms) ? new Date(ms).toISOString() : textOf(value);
}

/** `halt_flatten` → `halt flatten`. */
function plain(value: unknown): string {
  return textOf(value).replaceAll("_", " ");
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function fieldsOf(value: unknown): Body {
  return typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value))
    : {};
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
