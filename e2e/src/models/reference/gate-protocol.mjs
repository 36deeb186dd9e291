// Explicit-state model (breadth-first search) of the order-gate safety protocol.
// Plain Node >= 20, no dependencies.
//   node --max-old-space-size=16000 gate-protocol.mjs [filter] [--quick] [--slow]
// --quick caps each search at 400 k states.
//
// One world, N sessions, real time in ticks. W is WorldService, the door is the order router. Control events are not
// modelled as packets: ANY committed revision may be shown to ANY session at ANY time, any number of times, in any
// order. That covers every behaviour of any number of gateways with stale caches, crashes, partitions, reconnects,
// delay, loss, duplication and reordering of the stream and of the bus. Renew requests, grants and ACKs are messages
// that stay deliverable (lost = never delivered, duplicated = delivered twice). A session that pauses takes no step
// while time passes.

const OPEN = 0, CLOSING = 1, CLOSED = 2;                   // gate of the world, durable at W
const NONE = 0, FREEZING = 1, SWITCHED = 2, DONE = 3, RB = 4; // apply run, durable at W
const GN = ['OPEN', 'CLOSING', 'CLOSED'], RN = ['none', 'FREEZING', 'SWITCHED', 'COMPLETED', 'ROLLED_BACK'];
const INF = 99, LOGMAX = 14;

const BASE = {
  n: 2, L: 4, M: 2, G: 4,        // lease, client margin, guard that W waits (ticks)
  D: [1, 1], E: [1, 1],          // per session: clock slip allowed per lease, pause allowed between gate check and write
  K: 1,                          // renew requests and grants in flight per session
  maxApply: 1, wCrash: 1, sCrash: 1, nack: 1, manual: 0, deact: 0, ttl: 0, door: false, venue: false, maxStates: 12e6,
  // switches that break the protocol (all false = the protocol)
  noAckWait: false,     // switch at once after freeze is committed
  ackOnly: false,       // wait for ACKs, drop silent clients after a timeout; clients hold no lease (live until an event says otherwise)
  fromReceipt: false,   // client counts the lease from receipt of the grant
  noFenceOnGrant: false,// client accepts a grant whatever its fence, and keeps an old lease through a freeze it has ACKed
  noRestartWait: false, // W trusts its empty registry after restart
  gwGrants: false,      // a gateway grants from its cache
  regress: false,       // client applies an older snapshot, keeps lease
  earlyResume: false,   // leave HELD before the freeze is in force
  ackAnyFence: false,   // W counts an ACK of any earlier freeze
  ackBeforeDrain: false,// client ACKs while an order is between check and write
  noReqRev: false,      // W renews for a session that has not applied the last restrictive change
  ttlFromReceipt: false,// decision TTL counted from receipt
};

function make(c) {
  const N = c.n, K = c.K;
  // ---- layout -------------------------------------------------------------------------------------------------------
  let p = 0; const f = {};
  for (const k of ['up', 'fence', 'gate', 'run', 'dec', 'prevDec', 'hold', 'nApply', 'wCr', 'sCr', 'nk', 'man', 'de', 'wAge', 'stepAge',
    'openFence', 'closeAge', 'downAge', 'ttl', 'reqRev', 'offAge', 'runAge', 'nackSeen', 'nRev', 'decDead', 'venue']) f[k] = p++;
  const LOG = p; p += LOGMAX;
  const S = p, sf = {}; let q = 0;
  for (const k of ['up', 'app', 'lp', 'lf', 'll', 'ls', 'le', 'ep', 'ef', 'ed', 'ea', 'aF', 'aS', 'reg', 'wF', 'wS', 'box', 'boxf', 'boxd', 'na']) sf[k] = q++;
  const RQ = q; q += 4 * K; const GR = q; q += 5 * K; const SL = q;   // rq: p,local,slip,rev  gr: p,local,slip,fence,end
  const SIZE = S + N * SL;
  const at = (s, k) => S + s * SL + sf[k];
  const pack = (fe, g, d, a) => fe | (g << 3) | (d << 5) | (a << 7);
  const un = e => ({ fence: e & 7, gate: (e >> 3) & 3, dec: (e >> 5) & 3, act: (e >> 7) & 1 });
  const push = (x, act) => { if (x[f.nRev] >= LOGMAX) throw new Error('log'); x[LOG + x[f.nRev]] = pack(x[f.fence], x[f.gate], x[f.dec], act); x[f.nRev]++; };
  const curAct = x => un(x[LOG + x[f.nRev] - 1]).act;

  const init = () => {
    const x = new Uint8Array(SIZE);
    x[f.up] = 1; x[f.fence] = 1; x[f.dec] = 1; x[f.openFence] = 1; x[f.venue] = c.venue ? 1 : 0; x[f.wAge] = c.G; x[f.ttl] = c.ttl;
    x[f.wCr] = c.wCrash; x[f.sCr] = c.sCrash; x[f.nk] = c.nack; x[f.man] = c.manual; x[f.de] = c.deact;
    push(x, 1);
    for (let s = 0; s < N; s++) x[at(s, 'up')] = 1;
    return x;
  };
  const key = x => {
    if (N === 2 && !c.door && !c.venue) {
      const A = Buffer.from(x.buffer, S, SL), B = Buffer.from(x.buffer, S + SL, SL);
      if (Buffer.compare(A, B) > 0) { const y = Buffer.from(x); y.set(B, S); y.set(A, S + SL); return y.latin1Slice(0, SIZE); }
    }
    return Buffer.from(x.buffer, 0, SIZE).latin1Slice(0, SIZE);
  };

  // Drops what can have no further effect, and ignores the order of equal sessions: smaller search, same behaviours.
  const broken = ['ackOnly', 'noFenceOnGrant', 'gwGrants', 'regress', 'ackAnyFence', 'noRestartWait', 'noAckWait', 'noReqRev', 'ackBeforeDrain', 'fromReceipt', 'ttlFromReceipt'].some(k => c[k]);
  const norm = x => {
    if (broken) return x;
    const running = x[f.run] === FREEZING || x[f.run] === SWITCHED;
    if (!running) x[f.prevDec] = x[f.runAge] = x[f.nackSeen] = 0;
    if (x[f.run] !== SWITCHED) x[f.stepAge] = 0;
    if (x[f.gate] === CLOSED) x[f.closeAge] = 0;
    for (let s = 0; s < N; s++) {
      const b = S + s * SL;
      if (x[f.gate] !== CLOSING || !x[at(s, 'reg')]) x[at(s, 'aF')] = x[at(s, 'wF')] = 0;
      for (let i = 0; i < K; i++) {
        const o = b + RQ + 4 * i; if (x[o] && un(x[LOG + x[o + 3]]).fence !== x[f.fence]) for (let z = 0; z < 4; z++) x[o + z] = 0;
        const g = b + GR + 5 * i, app = x[at(s, 'app')]; if (x[g] && app && un(x[LOG + app - 1]).fence > x[g + 3]) for (let z = 0; z < 5; z++) x[g + z] = 0;
      }
    }
    return x;
  };
  const clearAcks = (x) => { for (let s = 0; s < N; s++) for (const k of ['aF', 'aS', 'wF', 'wS', 'na']) if (!(c.ackAnyFence && (k === 'aF' || k === 'wF'))) x[at(s, k)] = 0; x[f.nackSeen] = 0; };
  const dropLease = (x, s) => { for (const k of ['lp', 'lf', 'll', 'ls', 'le']) x[at(s, k)] = 0; };

  const freezeMet = x => {
    if (x[f.gate] === CLOSED) return true;
    if (c.noAckWait) return true;
    if (c.venue) return x[f.venue] === x[f.fence];
    if (c.ackOnly) { for (let s = 0; s < N; s++) if (!x[at(s, 'wF')] && x[f.stepAge] < c.G) return false; return true; }
    if (!c.noRestartWait && x[f.wAge] < c.G) return false;
    for (let s = 0; s < N; s++) if (x[at(s, 'reg')] && !x[at(s, 'wF')]) return false;
    return true;
  };
  const switchMet = x => { if (x[f.stepAge] >= c.G) return true; for (let s = 0; s < N; s++) if (!x[at(s, 'wS')]) return false; return true; };
  const mustAct = x => x[f.up] && (c.venue && x[f.venue] !== x[f.fence] || x[f.nackSeen] && (x[f.run] === FREEZING || x[f.run] === SWITCHED) ||
    x[f.run] === FREEZING && freezeMet(x) || x[f.run] === SWITCHED && switchMet(x) || x[f.gate] === CLOSING && x[f.hold] && freezeMet(x));

  // what is checked at the instant an order leaves
  const bad = (x, fe, d) => {
    if (x[f.gate] === CLOSED) return `order (fence ${fe}, decision ${d}) left while the freeze is in force (W gate CLOSED, fence ${x[f.fence]})`;
    if (fe !== x[f.openFence]) return `order left under old fence ${fe}; fence opened last is ${x[f.openFence]}`;
    if (x[f.gate] === OPEN && d !== x[f.dec]) return `order left with decision ${d}, W has ${x[f.dec]}`;
    if (c.venue) return null; // time-bounded promises are not made for such a client
    if (!c.ackOnly && !c.noAckWait && x[f.closeAge] >= c.G) return `order left ${x[f.closeAge]} ticks after freeze was committed (guard is ${c.G})`;
    if (!c.ackOnly && x[f.downAge] >= c.G) return `order left ${x[f.downAge]} ticks after W went down`;
    if (x[f.offAge] >= c.G) return `order left ${x[f.offAge]} ticks after the activation was switched off`;
    if (c.ttl && x[f.decDead]) return `order left after the decision's TTL had run out at W`;
    return null;
  };
  const runBound = 2 * c.G;   // freeze + switch steps, counted while W is up, from start or last restart

  const next = x => {
    const out = []; const add = (label, y, v) => out.push([label, y, v]);
    const cl = () => x.slice();
    const up = x[f.up];
    // ---- WorldService ------------------------------------------------------------------------------------------------
    if (up && x[f.nApply] < c.maxApply && x[f.run] !== FREEZING && x[f.run] !== SWITCHED && (x[f.gate] === OPEN || x[f.hold])) {
      const y = cl(); y[f.nApply]++; y[f.fence]++; y[f.prevDec] = y[f.dec]; y[f.run] = FREEZING; y[f.stepAge] = 0; y[f.runAge] = 0; clearAcks(y);
      if (y[f.gate] === OPEN) { y[f.gate] = CLOSING; y[f.closeAge] = 0; }
      push(y, curAct(x)); add(`W: apply ${y[f.nApply]} commits FREEZE, fence ${y[f.fence]}`, y);
    }
    if (up && x[f.run] === FREEZING && !x[f.nackSeen] && freezeMet(x)) {
      const y = cl(); y[f.gate] = CLOSED; y[f.run] = SWITCHED; y[f.dec] = y[f.nApply] + 1; y[f.stepAge] = 0; clearAcks(y); push(y, curAct(x));
      add(`W: freeze in force, commits SWITCH to decision ${y[f.dec]}`, y);
    }
    if (up && x[f.run] === SWITCHED && !x[f.nackSeen] && switchMet(x)) {
      const y = cl(); y[f.gate] = OPEN; y[f.run] = DONE; y[f.hold] = 0; y[f.openFence] = y[f.fence]; y[f.closeAge] = 0; y[f.stepAge] = 0; y[f.runAge] = 0; y[f.ttl] = c.ttl; y[f.decDead] = 0; clearAcks(y);
      y[f.reqRev] = y[f.nRev]; push(y, curAct(x)); add(`W: commits UNFREEZE, fence ${y[f.fence]}, decision ${y[f.dec]}`, y);
    }
    if (up && (x[f.run] === FREEZING || x[f.run] === SWITCHED) && (x[f.nackSeen] || x[f.run] === SWITCHED && x[f.stepAge] >= c.G)) {
      const y = cl(); y[f.dec] = y[f.prevDec]; y[f.run] = RB; y[f.hold] = 1; y[f.runAge] = 0; y[f.nackSeen] = 0;
      for (let s = 0; s < N; s++) { y[at(s, 'aS')] = y[at(s, 'wS')] = y[at(s, 'na')] = 0; }
      push(y, curAct(x)); add(`W: commits ROLLBACK to decision ${y[f.dec]}, stays frozen`, y);
    }
    if (up && x[f.hold] && x[f.gate] === CLOSING && x[f.run] !== FREEZING && freezeMet(x)) { const y = cl(); y[f.gate] = CLOSED; y[f.stepAge] = 0; add('W: held freeze now in force', y); }
    if (up && x[f.hold] && x[f.run] !== FREEZING && x[f.run] !== SWITCHED && (x[f.gate] === CLOSED || c.earlyResume)) {
      const y = cl(); y[f.gate] = OPEN; y[f.hold] = 0; y[f.openFence] = y[f.fence]; y[f.closeAge] = 0; y[f.stepAge] = 0; clearAcks(y); y[f.reqRev] = y[f.nRev]; push(y, curAct(x));
      add(`Operator: resume, fence ${y[f.fence]}, decision ${y[f.dec]}`, y);
    }
    if (up && x[f.man] && x[f.gate] === OPEN) {
      const y = cl(); y[f.man]--; y[f.fence]++; y[f.gate] = CLOSING; y[f.hold] = 1; y[f.closeAge] = 0; y[f.stepAge] = 0; clearAcks(y); push(y, curAct(x)); add(`Operator: manual freeze, fence ${y[f.fence]}`, y);
    }
    if (up && x[f.de] && x[f.gate] === OPEN) { const y = cl(); y[f.de]--; y[f.reqRev] = y[f.nRev]; y[f.offAge] = 0; push(y, 0); add('Operator: activation off (no apply)', y); }
    if (up && c.ttl && x[f.gate] === OPEN && x[f.ttl] < c.ttl) { const y = cl(); y[f.ttl] = c.ttl; y[f.decDead] = 0; add('W: refreshes decision TTL', y); }
    if (up && c.venue && x[f.venue] !== x[f.fence]) { const y = cl(); y[f.venue] = y[f.fence]; add(`W: registers fence ${y[f.fence]} at the venue`, y); }
    if (up && x[f.wCr]) {
      const y = cl(); y[f.wCr]--; y[f.up] = 0; y[f.wAge] = 0; y[f.stepAge] = 0; y[f.downAge] = 0; y[f.nackSeen] = 0; y[f.runAge] = 0;
      for (let s = 0; s < N; s++) { y[at(s, 'reg')] = 0; y[at(s, 'wF')] = 0; y[at(s, 'wS')] = 0; } add('W: CRASH (memory lost)', y);
    }
    if (!up) { const y = cl(); y[f.up] = 1; y[f.downAge] = 0; add('W: restart from store', y); }
    // ---- sessions ----------------------------------------------------------------------------------------------------
    const cur = x[f.nRev] - 1;
    for (let s = 0; s < N; s++) {
      const a = k => x[at(s, k)], b = S + s * SL, who = c.door ? (s === 0 ? 'SDK' : 'Door') : 'S' + (s + 1);
      const app = a('app') - 1, st = app >= 0 ? un(x[LOG + app]) : null;
      if (!a('up')) { const y = cl(); y[at(s, 'up')] = 1; add(`${who}: starts as a new session, gate shut`, y); continue; }
      // control event or snapshot: any revision, from any gateway
      if (!a('ep') || c.ackBeforeDrain) for (let r = c.regress ? 0 : app + 1; r <= cur; r++) {
        if (r === app) continue;
        const y = cl(), t = un(x[LOG + r]); y[at(s, 'app')] = r + 1;
        if ((t.gate !== OPEN || t.fence !== a('lf')) && !c.regress && !c.noFenceOnGrant && !c.ackOnly) dropLease(y, s);
        if (t.gate !== OPEN && t.fence === x[f.fence]) { y[at(s, 'aF')] = 1; if (x[f.run] === SWITCHED && r === cur) y[at(s, 'aS')] = 1; }
        add(`${who}: applies rev ${r} (fence ${t.fence}, ${GN[t.gate]}, decision ${t.dec}${t.act ? '' : ', inactive'})${t.gate !== OPEN ? ' and sends ACK' : ''}`, y);
      }
      if (x[f.nk] && app === cur && st && st.gate !== OPEN && (x[f.run] === SWITCHED || x[f.run] === FREEZING) && !a('na')) { const y = cl(); y[f.nk]--; y[at(s, 'na')] = 1; add(`${who}: sends NACK for rev ${app}`, y); }
      if (up && a('na') && (x[f.run] === SWITCHED || x[f.run] === FREEZING)) { const y = cl(); y[f.nackSeen] = 1; y[at(s, 'na')] = 0; add(`W: gets NACK of ${who}`, y); }
      if (up && a('aF') && !a('wF') && (x[f.gate] === CLOSING)) { const y = cl(); y[at(s, 'wF')] = 1; add(`W: gets freeze ACK of ${who}`, y); }
      if (up && a('aS') && !a('wS') && x[f.run] === SWITCHED) { const y = cl(); y[at(s, 'wS')] = 1; add(`W: gets switch ACK of ${who}`, y); }
      // lease
      if (!c.ackOnly && st && st.gate === OPEN) for (let i = 0; i < K; i++) {
        const o = b + RQ + 4 * i; if (K > 1 && i < K - 1 && x[o]) continue;
        if (x[o] && x[o + 1] === 0 && x[o + 2] === 0 && x[o + 3] === app) continue;
        const y = cl(); y[o] = 1; y[o + 1] = 0; y[o + 2] = 0; y[o + 3] = app; add(`${who}: sends renew (rev ${app}, fence ${st.fence})`, y);
        if (K > 1) break;
      }
      for (let i = 0; i < K; i++) {
        const o = b + RQ + 4 * i;
        if (!x[o]) continue;
        const rs = un(x[LOG + x[o + 3]]);
        const wOk = up && x[f.gate] === OPEN && rs.gate === OPEN && rs.fence === x[f.fence] && (x[o + 3] >= x[f.reqRev] || c.noReqRev) && (!c.ttl || x[f.ttl] > 0);
        if (wOk || c.gwGrants) {
          let end = c.L - c.M; if (c.ttl) end = Math.min(end, x[f.ttl] - c.M); if (end <= 0) continue;
          const lo = c.fromReceipt || (c.ttlFromReceipt) ? 0 : x[o + 1];
          if (lo >= end) { continue; }
          for (let j = 0; j < K; j++) {
            const g = b + GR + 5 * j; if (K > 1 && j < K - 1 && x[g]) continue;
            const y = cl(); y[g] = 1; y[g + 1] = lo; y[g + 2] = x[o + 2]; y[g + 3] = rs.fence; y[g + 4] = end;
            if (wOk) y[at(s, 'reg')] = c.G;
            if (key(y) !== key(x)) add(wOk ? `W: grants lease to ${who} (fence ${rs.fence})` : `Gateway: grants lease to ${who} from its cache (fence ${rs.fence})`, y);
            if (K > 1) break;
          }
        }
      }
      for (let j = 0; j < K; j++) {
        const g = b + GR + 5 * j; if (!x[g]) continue;
        if (!st || st.gate !== OPEN && !c.noFenceOnGrant) continue;
        if (x[g + 3] !== st.fence && !c.noFenceOnGrant) continue;
        const lo = c.fromReceipt || c.ttlFromReceipt ? 0 : x[g + 1];
        if (a('lp') && a('lf') === x[g + 3] && a('ll') === lo && a('ls') === x[g + 2] && a('le') === x[g + 4]) continue;
        const y = cl(); y[at(s, 'lp')] = 1; y[at(s, 'lf')] = x[g + 3]; y[at(s, 'll')] = lo; y[at(s, 'ls')] = x[g + 2]; y[at(s, 'le')] = x[g + 4];
        if (c.fromReceipt || c.ttlFromReceipt) y[g] = 0;
        add(`${who}: takes grant (fence ${x[g + 3]}, age ${lo})`, y);
      }
      // order: gate check, then write
      const gateOk = st && (c.noFenceOnGrant ? true : st.gate === OPEN) && st.act && (c.ackOnly ? true : a('lp') && a('ll') < a('le') && (c.noFenceOnGrant || a('lf') === st.fence));
      const isDoor = c.door && s === 1, isSrc = c.door && s === 0;
      if (gateOk && !a('ep')) {
        if (!isDoor) { const y = cl(); y[at(s, 'ep')] = 1; y[at(s, 'ef')] = c.noFenceOnGrant ? a('lf') : st.fence; y[at(s, 'ed')] = st.dec; y[at(s, 'ea')] = 0; add(`${who}: gate check passes (fence ${y[at(s, 'ef')]}, decision ${st.dec})`, y); }
        else if (a('box') && a('boxf') === st.fence) { const y = cl(); y[at(s, 'ep')] = 1; y[at(s, 'ef')] = a('boxf'); y[at(s, 'ed')] = a('boxd'); y[at(s, 'ea')] = 0; add(`Door: check passes for order with fence ${a('boxf')}`, y); }
      }
      if (a('ep')) {
        const y = cl(); const fe = a('ef'), d = a('ed'); for (const k of ['ep', 'ef', 'ed', 'ea']) y[at(s, k)] = 0;
        if (c.venue && fe < x[f.venue]) add(`Venue: refuses order with fence ${fe}`, y);
        else if (isSrc) { y[at(1, 'box')] = 1; y[at(1, 'boxf')] = fe; y[at(1, 'boxd')] = d; add('SDK: sends order to door', y); }
        else add(`${who}: ORDER LEAVES (fence ${fe}, decision ${d})`, y, bad(x, fe, d));
      }
      if (x[f.sCr]) {
        const y = cl(); const reg = y[at(s, 'reg')], box = [a('box'), a('boxf'), a('boxd')]; for (let i = 0; i < SL; i++) y[b + i] = 0;
        y[at(s, 'reg')] = reg; [y[at(s, 'box')], y[at(s, 'boxf')], y[at(s, 'boxd')]] = box; y[f.sCr]--; add(`${who}: CRASH`, y);
      }
    }
    // ---- time --------------------------------------------------------------------------------------------------------
    let can = !mustAct(x);
    for (let s = 0; s < N; s++) if (x[at(s, 'ep')] && x[at(s, 'ea')] >= c.E[s] && c.E[s] !== INF) can = false;
    if (can) {
      const base = cl(); const capUp = (i, m) => { if (base[i] < m) base[i]++; };
      if (up) { capUp(f.wAge, c.G); if (c.ackOnly && x[f.run] === FREEZING || x[f.run] === SWITCHED) capUp(f.stepAge, c.G); }
      if (up && (x[f.run] === FREEZING || x[f.run] === SWITCHED)) base[f.runAge]++;
      if (!up) capUp(f.downAge, c.G);
      if (x[f.gate] !== OPEN) capUp(f.closeAge, c.G);
      if (c.deact && !curAct(x)) capUp(f.offAge, c.G);
      if (c.ttl && x[f.ttl] > 0) { base[f.ttl]--; if (base[f.ttl] === 0) base[f.decDead] = 1; }
      for (let s = 0; s < N; s++) if (up && base[at(s, 'reg')]) base[at(s, 'reg')]--;
      let list = [base], labels = ['tick'];
      for (let s = 0; s < N; s++) {
        const b = S + s * SL, nl = [], nb = [];
        for (let m = 0; m < list.length; m++) for (const adv of [1, 0]) {
          const y = list[m].slice(); let ok = true, any = false;
          const step = (o) => { any = true; if (adv) y[o]++; else if (c.D[s] !== INF) { y[o + 1]++; if (y[o + 1] > c.D[s]) ok = false; } };
          if (y[at(s, 'lp')]) { step(at(s, 'll')); if (y[at(s, 'll')] >= y[at(s, 'le')]) dropLease(y, s); }
          for (let i = 0; i < K; i++) {
            const o = b + RQ + 4 * i; if (y[o]) { step(o + 1); if (y[o + 1] >= c.L - c.M) for (let z = 0; z < 4; z++) y[o + z] = 0; }
            const g = b + GR + 5 * i; if (y[g]) { step(g + 1); if (y[g + 1] >= y[g + 4]) for (let z = 0; z < 5; z++) y[g + z] = 0; }
          }
          if (y[at(s, 'ep')] && y[at(s, 'ea')] < 3) y[at(s, 'ea')]++;
          if (ok && !(adv === 0 && !any)) { nl.push(y); nb.push(labels[m] + (adv ? '' : `, clock of ${c.door ? (s ? 'Door' : 'SDK') : 'S' + (s + 1)} slips`)); }
        }
        list = nl; labels = nb;
      }
      const late = base[f.runAge] > runBound ? `apply still running after ${base[f.runAge]} ticks (bound ${runBound})` : null;
      for (let m = 0; m < list.length; m++) add(labels[m], list[m], late);
    }
    return out;
  };
  const goal = x => { // settled: no run in flight, world open, every session up with a current lease
    if (!x[f.up] || x[f.gate] !== OPEN || x[f.run] === FREEZING || x[f.run] === SWITCHED) return false;
    for (let s = 0; s < N; s++) if (!x[at(s, 'up')] || !x[at(s, 'lp')] || x[at(s, 'lf')] !== x[f.fence]) return false;
    return true;
  };
  return { init, next, key, goal, norm };
}

function bfs(c, wantGraph) {
  const m = make(c), seen = new Map(), parent = [], how = [], labels = new Map(), names = [];
  const lid = l => { let i = labels.get(l); if (i === undefined) { labels.set(l, i = names.length); names.push(l); } return i; };
  let front = [[m.init(), 0]]; seen.set(m.key(front[0][0]), 0); parent.push(-1); how.push(-1);
  const src = [], dst = [], isGoal = []; if (wantGraph) isGoal.push(m.goal(front[0][0]));
  let edges = 0, depth = 0, orders = 0;
  const trace = (id, last) => { const t = [last]; while (id > 0) { t.push(names[how[id]]); id = parent[id]; } return t.reverse(); };
  while (front.length) {
    const nf = [];
    for (const [x, id] of front) for (const [l, y, v] of m.next(x)) {
      edges++; if (l.includes('ORDER LEAVES')) orders++;
      if (v) return { ok: false, why: v, trace: trace(id, l), states: seen.size, edges, depth };
      m.norm(y); const k = m.key(y); let j = seen.get(k);
      if (j === undefined) { j = seen.size; seen.set(k, j); parent.push(id); how.push(lid(l)); nf.push([y, j]); if (wantGraph) isGoal.push(m.goal(y)); }
      if (wantGraph) { src.push(id); dst.push(j); }
      if (seen.size > c.maxStates) return { ok: null, states: seen.size, edges, depth, orders };
    }
    front = nf; depth++;
  }
  const r = { ok: true, states: seen.size, edges, depth, orders };
  if (wantGraph) { // from every reachable state a settled state can be reached (no dead end)
    const n = seen.size, head = new Int32Array(n).fill(-1), nxt = new Int32Array(src.length);
    for (let e = 0; e < src.length; e++) { nxt[e] = head[dst[e]]; head[dst[e]] = e; }
    const good = new Uint8Array(n), st = []; for (let i = 0; i < n; i++) if (isGoal[i]) { good[i] = 1; st.push(i); }
    while (st.length) { const i = st.pop(); for (let e = head[i]; e >= 0; e = nxt[e]) if (!good[src[e]]) { good[src[e]] = 1; st.push(src[e]); } }
    let stuck = 0; for (let i = 0; i < n; i++) if (!good[i]) stuck++;
    r.stuck = stuck; r.settled = isGoal.filter(Boolean).length;
  }
  return r;
}

const one = { n: 1, D: [1], E: [1] };
const RUNS = [
  // [name, overrides, expected verdict, check for dead ends]
  ['NAIVE ackless: switch right after the freeze commit', { ...one, noAckWait: true }, false],
  ['NAIVE acks only: silent clients dropped after a timeout, no lease', { ...one, ackOnly: true }, false],
  ['BROKEN lease counted from receipt of the grant', { ...one, fromReceipt: true }, false],
  ['BROKEN grant not bound to the fence', { ...one, noFenceOnGrant: true }, false],
  ['BROKEN W trusts its empty registry after restart', { ...one, noRestartWait: true }, false],
  ['BROKEN gateway grants from its cache', { ...one, gwGrants: true }, false],
  ['BROKEN older snapshot applied, lease kept', { ...one, regress: true }, false],
  ['BROKEN resume before the freeze is in force', { ...one, manual: 1, earlyResume: true }, false],
  ['BROKEN ACK of an earlier freeze counted', { ...one, ackAnyFence: true, maxApply: 2 }, false],
  ['BROKEN ACK sent with an order between check and write', { ...one, ackBeforeDrain: true }, false],
  ['BROKEN renewal without the last restrictive change', { ...one, deact: 1, maxApply: 0, noReqRev: true }, false],
  ['BROKEN decision TTL counted from receipt', { ...one, ttl: 4, maxApply: 0, ttlFromReceipt: true }, false],
  ['BROKEN margin smaller than clock slip + emission pause', { ...one, M: 1 }, false],
  ['LIMIT direct path, client clock with unbounded slip', { ...one, D: [INF] }, false],
  ['LIMIT direct path, unbounded pause between check and write', { ...one, E: [INF] }, false],
  ['PROTOCOL 1 session, 1 apply, crashes, NACK (dead ends checked)', { ...one }, true, true],
  ['PROTOCOL 1 session, 1 apply, manual freeze, 2 messages of each kind in flight', { ...one, manual: 1, K: 2 }, true],
  ['SLOW PROTOCOL 1 session, 2 applies, 2 W crashes, manual freeze, 2 messages in flight (3 min, 9.5 M states)', { ...one, maxApply: 2, manual: 1, K: 2, wCrash: 2 }, true],
  ['PROTOCOL 1 session, L=6, margin 3, slip 2, 1 apply', { ...one, L: 6, M: 3, G: 6, D: [2], E: [1], wCrash: 2, sCrash: 2 }, true],
  ['PROTOCOL 1 session, activation off outside apply, 1 apply', { ...one, deact: 1 }, true],
  ['PROTOCOL 1 session, decision TTL 5', { ...one, ttl: 5 }, true],
  ['PROTOCOL door path: client clock and pause unbounded, door well-behaved', { door: true, D: [INF, 1], E: [INF, 1], sCrash: 0, nack: 1 }, true],
  ['PROTOCOL venue checks the fence: client clock and pause unbounded, no wait for leases', { ...one, venue: true, D: [INF], E: [INF], maxApply: 2 }, true],
  ['PROTOCOL 2 sessions, short lease (L=3), 1 apply, W crash, NACK, manual freeze (dead ends checked)', { L: 3, G: 3, sCrash: 0, manual: 1 }, true, true],
  ['PROTOCOL 2 sessions, 1 apply, W crash, NACK, no session crash', { sCrash: 0 }, true],
  ['PROTOCOL 2 sessions, 1 apply, W crash, session crash, NACK', { }, true],
  ['PROTOCOL 2 sessions, 2 applies, W crash, no NACK', { maxApply: 2, sCrash: 0, nack: 0 }, true],
];
const filter = process.argv.slice(2).find(a => !a.startsWith('--')) ?? '', quick = process.argv.includes('--quick');
let wrong = 0;
for (const [name, o, want, graph] of RUNS) {
  if (!name.toLowerCase().includes(filter.toLowerCase()) || name.startsWith('SLOW') && !process.argv.includes('--slow')) continue;
  const c = { ...BASE, ...o }; if (quick) c.maxStates = 4e5;
  const t0 = Date.now(), r = bfs(c, graph), dt = ((Date.now() - t0) / 1000).toFixed(1);
  const verdict = r.ok === true ? 'holds, search complete' : r.ok === null ? `holds up to depth ${r.depth} (state cap)` : 'VIOLATED';
  console.log(`\n${name}\n  ${verdict}; ${r.states} states, ${r.edges} steps, depth ${r.depth}, ${r.orders ?? '-'} order steps, ${dt} s` + (graph && r.ok ? `; ${r.settled} settled states, ${r.stuck} states from which none can be reached` : ''));
  if (r.ok === false) { console.log('  ' + r.why); r.trace.forEach((l, i) => console.log(`   ${String(i + 1).padStart(2)}. ${l}`)); }
  if ((r.ok === false) === want || (graph && r.stuck)) { wrong++; console.log('  *** UNEXPECTED'); }
}
console.log(`\n${wrong ? wrong + ' unexpected verdicts' : 'all verdicts as expected'}`);
process.exit(wrong ? 1 : 0);
