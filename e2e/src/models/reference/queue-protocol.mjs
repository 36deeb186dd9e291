// Model of the queue protocol. Plain Node >= 20, no dependencies.
//   node --max-old-space-size=8000 queue-protocol.mjs [one|chain|barrier] [--seeds N] [--quick]
//
// D is the DAG Manager, which owns the leases.
//
// Part "one" (exhaustive breadth-first search): one key, one partition. D grants a higher epoch to any process at ANY
//   moment (without a clock, this covers every pause, drift and false expiry); processes never check their own lease
//   (every old holder is a zombie for ever), crash and restart; everything ever sent may be appended at any later time,
//   any number of times, in any order, or never (retries, duplicates, reordering, broker restart with unknown outcome).
//   Every producer has its own values (two feeds that always disagree) and every record states on which history its
//   producer built it, so "built on something that is not effective" is visible. Readers join at any offset, from any
//   checkpoint, crash and resume at any offset: checked for every log reached.
// Part "chain" (random, virtual time, seeded): 2 sources -> EMA -> 2-input window -> cumulative, held by 4 processes
//   over 2 partitions; leases with clocks, renewals, margin, pauses, crashes, D and broker outages, delayed and
//   duplicated appends, snapshots (also by zombies), checkpoints and trimming, revisions, empty buckets, joining and
//   resuming readers. Compared with an undisturbed run, bit by bit.
// Part "barrier" (exhaustive): replay barrier with two runners, feed takeover and owner crash.
// NOT covered: several D leaders, real Kafka or SQL, floating-point behaviour across machines, promotion, calendars,
//   late data beyond the horizon, loss of acknowledged log data (unclean leader election), size limits, back-pressure,
//   hash collisions.

import { createHash } from 'node:crypto';
const args = process.argv.slice(2), QUICK = args.includes('--quick');
const opt = (n, d) => { const i = args.indexOf(n); return i < 0 ? d : +args[i + 1]; };
const part = args.find((a, i) => !a.startsWith('--') && !(args[i - 1] ?? '').startsWith('--seeds'));
let bad = 0;
const H = s => createHash('sha256').update(s).digest('hex').slice(0, 16);

// ---- the fold: the one definition of "effective" -------------------------------------------------------------------------
// START (k 'S') counts iff its epoch is above the fold's. A data record counts iff its epoch EQUALS the fold's, its seq
// is the next one, and it is either the next bucket (rev 0) or the next revision of a known one. Everything else is
// void for ever.
export const fold0 = () => ({ e: 0, seq: 0, next: 0, rev: {} });
export function fold(f, r) {
  if (r.k === 'S') { if (r.e <= f.e) return false; f.e = r.e; return true; }
  if (r.e !== f.e || r.seq !== f.seq) return false;
  if (r.rev === 0) { if (r.b !== f.next) return false; f.next++; } else if (!(r.b < f.next && r.rev === (f.rev[r.b] ?? 0) + 1)) return false; else f.rev[r.b] = r.rev;
  f.seq++; return true;
}
const clone = f => ({ e: f.e, seq: f.seq, next: f.next, rev: { ...f.rev } });

// ==== part one ============================================================================================================
// record string: S<e> | D<e>.<seq>.<b>.<rev>.<producer>.<history the producer built on>
const pc = new Map();
const rec = s => { let r = pc.get(s); if (!r) { if (s[0] === 'S') r = { k: 'S', e: +s[1] }; else { const a = s.slice(1).split('.'); r = { k: 'D', e: +a[0], seq: +a[1], b: +a[2], rev: +a[3], v: a[4], h: a[5] }; } pc.set(s, r); } return r; };
// what a process believes when it reads log[0..n) from the start, under the rule
function readAll(c, log, n) {
  if (c.rule === 'fold') { const f = fold0(); let h = ''; for (let i = 0; i < n; i++) { const r = rec(log[i]); if (fold(f, r) && r.k === 'D') h += r.v; } return { seq: f.seq, next: f.next, h, rev: f.rev, e: f.e }; }
  const m = new Map(); let hi = 0, next = 0, h = '';
  for (let i = 0; i < n; i++) { const r = rec(log[i]); if (r.k === 'S') continue; if (r.e < hi) continue; hi = r.e;
    if (c.rule === 'maxNext') { if (r.b !== next) continue; next++; h += r.v; } else m.set(r.b, c.lastWins || !m.has(r.b) ? r.v : m.get(r.b)); }
  if (c.rule !== 'maxNext') { while (m.has(next)) { h += m.get(next); next++; } }
  return { seq: next, next, h, rev: {}, e: hi };
}
// decisions of a reader that starts at offset j: list of [bucket/rev, value, offset]
function decide(c, log, j) {
  const out = []; 
  if (c.rule === 'fold') { const f = fold0(); if (!c.noCheckpoint && !c.resumeForget) for (let i = 0; i < j; i++) fold(f, rec(log[i])); // checkpoint = fold state at j
    let blank = c.noCheckpoint && j > 0;
    if (c.resumeForget) { for (let i = 0; i < j; i++) fold(f, rec(log[i])); f.e = 0; }
    for (let i = j; i < log.length; i++) { const r = rec(log[i]);
      if (blank && r.k === 'D') { f.e = r.e; f.seq = r.seq; f.next = r.b + (r.rev ? 1 : 0); blank = false; }      // no checkpoint: trusts the first record it meets
      if (c.resumeForget && f.e === 0 && r.k === 'D') f.e = r.e;                                               // kept the position, forgot the epoch
      if (fold(f, r) && r.k === 'D') out.push([r.b + '/' + r.rev, r.v, i]); }
    return out; }
  let hi = 0, next = -1;
  if (c.rule === 'maxNext') { const a = readAll(c, log, j); hi = a.e; next = a.next; }                          // give it the best case: a checkpoint
  const seen = new Map();
  for (let i = j; i < log.length; i++) { const r = rec(log[i]); if (r.k === 'S' || r.e < hi) continue; hi = r.e;
    if (c.rule === 'maxNext') { if (r.b !== next) continue; next++; }
    else if (!c.lastWins && seen.has(r.b)) continue; 
    seen.set(r.b, r.v); out.push([r.b + '/0', r.v, i]); }
  return out;
}
function check(c, log) {
  // Q1/Q5: every reader, wherever it starts, takes one value per bucket, the same as every other reader, for good
  const who = new Map();
  const lg = c.compact ? log.filter((s, i) => s[0] === 'S' || !log.slice(i + 1).some(t => t[0] === 'D' && rec(t).b === rec(s).b && rec(t).rev === rec(s).rev)) : null;
  for (const [name, L] of lg ? [['full', log], ['compacted', lg]] : [['full', log]])
    for (let j = 0; j <= (lg ? 0 : L.length); j++) for (const [b, v, i] of decide(c, L, j)) {
      const o = who.get(b); if (o && o.v !== v) return `Q1: reader from ${o.n} offset ${o.j} takes bucket ${b} = feed ${o.v} (record ${o.i}), reader from ${name} offset ${j} takes feed ${v} (record ${i})`;
      if (!o) who.set(b, { v, j, i, n: name }); }
  if (lg && decide(c, lg, 0).length !== decide(c, log, 0).length) return `Q1: a reader of the compacted log takes ${decide(c, lg, 0).length} records, one of the full log ${decide(c, log, 0).length}`;
  if (c.rule === 'naive') return null;                       // shown for Q1 only
  const eff = decide(c, log, 0);
  // Q2/Q6 for the reader from the start
  let nb = 0; for (const [b] of eff) { const [x, r] = b.split('/').map(Number); if (r) continue; if (x !== nb) return `Q2/Q6: bucket ${x} where ${nb} was due`; nb++; }
  // Q3: every effective record was computed on exactly the effective history before it
  let h = ''; for (const [b, v, i] of eff) { const r = rec(log[i]); if (r.h !== h) return `Q3: effective bucket ${b} at offset ${i} was built on history "${r.h}", the effective one is "${h}"`; h += v; }
  return null;
}
function bfs(name, c, expectBad) {
  c = { procs: 2, maxE: 3, maxB: 3, L: 6, rule: 'fold', revs: 0, crash: 1, out: 2, ...c };
  if (QUICK) c.L = Math.min(c.L, 6);
  const t0 = Date.now();
  // state: [E, crashes, log, net, procs[[ep, phase(0 idle 1 claiming 2 active), seq, next, h, lastrev]]]
  const init = { E: 0, cr: c.crash, log: [], net: [], P: Array.from({ length: c.procs }, () => [0, 0, 0, 0, '', 0]) };
  const key = s => s.E + '|' + s.cr + '|' + s.log.join(',') + '|' + s.net.join(',') + '|' + s.P.map(p => p.join(':')).join(';');
  const seen = new Map([[key(init), null]]); let q = [init], n = 1, hit = null, depth = 0; const verdict = new Map();
  const add = (s, from, what) => { const k = key(s); if (seen.has(k)) return; seen.set(k, expectBad ? [key(from), what] : null); n++; nq.push(s);
    if (s.log !== from.log) { const lk = s.log.join(','); let v = verdict.get(lk); if (v === undefined) { v = check(c, s.log); verdict.set(lk, v); } if (v && !hit) hit = [k, v]; } };
  let nq;
  while (q.length && !hit) { nq = []; depth++;
    for (const s of q) {
      if (hit) break;
      for (let p = 0; p < c.procs; p++) { const a = s.P[p]; const withP = (x, o = {}) => ({ ...s, ...o, P: s.P.map((y, i) => i === p ? x : y) });
        // D grants (a lapse may be declared at any time; same process again only after it crashed)
        if ((s.E < c.maxE || c.dForget) && (a[1] === 0 || a[0] < s.E) && (p === 0 || s.P[p - 1][0] > 0)) {   // processes are alike: first grants in order
          const reuse = c.dForget && s.E > 0 && s.cr > 0 ? [s.E, s.E + 1] : [s.E + 1];
          for (const e of reuse) { if (e > c.maxE) continue;
            const o = { E: e, cr: e === s.E ? s.cr - 1 : s.cr };
            if (c.rule === 'fold' && !c.noReadBack) add(withP([e, 1, 0, 0, '', 0], { ...o, net: uniq(s.net, 'S' + e) }), s, `D grants epoch ${e} to P${p}; P${p} sends START`);
            else { const r = readAll(c, s.log, s.log.length); add(withP([e, 2, r.seq, r.next, r.h, 0], c.rule === 'fold' ? { ...o, net: uniq(s.net, 'S' + e) } : o), s, `D grants epoch ${e} to P${p}; P${p} reads the log to offset ${s.log.length}, will continue at bucket ${r.next}`); } } }
        // it sees its own START in the log and reads exactly up to it
        if (a[1] === 1) { const i = s.log.indexOf('S' + a[0]); if (i >= 0) { const r = readAll(c, s.log, i + 1); add(withP([a[0], 2, r.seq, r.next, r.h, 0]), s, `P${p} reads up to its START at offset ${i}, continues at bucket ${r.next}`); } }
        if (a[1] === 2) {
          const sent = s.net.filter(x => x[0] === 'D' && rec(x).e === a[0] && !s.log.includes(x)).length;
          if (a[3] < c.maxB && sent < c.out) add(withP([a[0], 2, a[2] + 1, a[3] + 1, a[4] + p, a[5]], { net: uniq(s.net, `D${a[0]}.${a[2]}.${a[3]}.0.${p}.${a[4]}`) }), s, `P${p} (epoch ${a[0]}) sends bucket ${a[3]}`);
          if (c.revs && a[3] > 0 && a[5] < c.revs && sent < c.out) { const rr = (readAll(c, s.log, s.log.length).rev[a[3] - 1] ?? 0) + 1; add(withP([a[0], 2, a[2] + 1, a[3], a[4] + p, a[5] + 1], { net: uniq(s.net, `D${a[0]}.${a[2]}.${a[3] - 1}.${rr}.${p}.${a[4]}`) }), s, `P${p} sends revision ${rr} of bucket ${a[3] - 1}`); }
          if (s.cr > 0) add(withP([a[0], 0, 0, 0, '', 0], { cr: s.cr - 1 }), s, `P${p} crashes`);
        }
      }
      if (s.log.length < c.L) for (const x of s.net) {
        if (c.embedded) { const r = rec(x), f = readAll(c, s.log, s.log.length); if (r.e < s.E) continue; const g = fold0(); for (const y of s.log) fold(g, rec(y)); if (!fold(g, r)) continue; }
        if (s.log.filter(y => y === x).length > 1) continue;                      // each may be appended twice
        add({ ...s, log: [...s.log, x] }, s, `log[${s.log.length}] = ${x[0] === 'S' ? `START epoch ${rec(x).e}` : `epoch ${rec(x).e} bucket ${rec(x).b}${rec(x).rev ? ' rev ' + rec(x).rev : ''} value of feed ${rec(x).v}`}`);
      }
      if (n > (c.maxStates ?? 6e6)) { hit = [null, 'STATE LIMIT']; break; }
    } q = nq; }
  const ok = expectBad ? hit && hit[0] && (!expectBad.length || hit[1].startsWith(expectBad)) : !hit || (c.capOk && hit[1] === 'STATE LIMIT');
  if (!ok) bad++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} one/${name}: ${n} states, ${verdict.size} logs, depth ${depth}, ${((Date.now() - t0) / 1e3).toFixed(1)} s${expectBad ? ' (must break)' : ''}${hit ? ' -> ' + hit[1] : ''}`);
  if (hit && hit[0] && expectBad !== undefined && expectBad !== null && c.trace !== false) { const tr = []; let k = hit[0]; while (seen.get(k)) { const [pk, w] = seen.get(k); tr.push(w); k = pk; } tr.reverse().forEach((w, i) => console.log(`       ${i + 1}. ${w}`)); }
}
const uniq = (a, x) => a.includes(x) ? a : [...a, x].sort();

function partOne() {
  bfs('naive rule, first value wins', { rule: 'naive', L: 4 }, 'Q1');
  bfs('naive rule, last value wins', { rule: 'naive', lastWins: true, L: 4 }, 'Q1');
  bfs('max epoch of the prefix + next bucket, no START', { rule: 'maxNext', L: 5 }, 'Q3');
  bfs('START, but the holder reads before it, not up to it', { noReadBack: true, L: 6 }, 'Q3');
  bfs('joiner without checkpoint (trimmed log)', { noCheckpoint: true, L: 6 }, 'Q1');
  bfs('reader resumes with its position but not the epoch', { resumeForget: true, L: 6 }, 'Q1');
  bfs('log compaction keeps the last record of a bucket', { compact: true, L: 6 }, 'Q1');
  bfs('D forgets the last epoch in a crash', { dForget: true, L: 6 }, 'Q3');
  bfs('protocol, 2 processes, 2 epochs, 3 buckets, log 6', { maxE: 2, crash: 0 });
  bfs('protocol, 2 processes, 3 epochs, 2 buckets, log 6, 1 crash', { maxB: 2 });
  bfs('protocol, 2 processes, 3 epochs, 3 buckets, log 7', { L: 7, crash: 0, out: 1 });
  bfs('protocol, 3 processes, 3 epochs, 2 buckets, log 7', { procs: 3, maxB: 2, L: 7, crash: 0, out: 1 });
  bfs('protocol with revisions, 2 epochs, log 6', { maxE: 2, maxB: 2, revs: 2, crash: 0 });
  bfs('protocol, embedded log (D checks in the append), log 8', { embedded: true, L: 8, maxB: 4, crash: 0 });
}
if (!part || part === 'one') partOne();

// ==== part chain ==========================================================================================================
const UP = [[], [], [0], [2, 1], [3]], NN = 5, T = 30, HZ = 6, LEASE = 10000, RENEW = 3000, MARGIN = 1000;
const rng = seed => { let a = seed >>> 0; return () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296; }; };
const hb = (n, b, x) => parseInt(H(n + ',' + b + ',' + x).slice(0, 6), 16);
const feed = (n, b, p, rev, disagree) => hb(n, b, 'e') % 11 === 0 && !rev ? null : (hb(n, b, 'v') % 1000) / 7 + rev * 0.25 + (disagree ? p * 1e-3 : 0);
const late = (n, b) => n < 2 && b >= 0 && hb(n, b, 'l') % 6 === 0;
// A derived node takes upstream effective records in the canonical order: before bucket t fires, the revisions that lie
// before each upstream's own rev-0 record of t (port order, seq order) are applied together, all buckets from the
// oldest touched one are recomputed, and changed ones become revisions.
class Machine {
  constructor(n, saved) { Object.assign(this, saved ? JSON.parse(saved) : { n, t: 0, pos: UP[n].map(() => 0), x: UP[n].map(() => ({})), st: { '-1': null }, y: {}, rv: {}, seq: 0 }); }
  save() { return JSON.stringify({ n: this.n, t: this.t, pos: this.pos, x: this.x, st: this.st, y: this.y, rv: this.rv, seq: this.seq }); }
  calc(b) { const s = this.st[b - 1], g = (i, k) => this.x[i][k] ?? null; let o = null, z = s;
    if (this.n === 2) { const v = g(0, b); if (v !== null) { z = s === null ? v : s + 0.3 * (v - s); o = z; } }
    else if (this.n === 3) { let a = 0, c = 0; for (let k = b - 2; k <= b; k++) { const u = g(0, k), w = g(1, k); if (u !== null && w !== null) { a += u - w; c++; } } o = c ? a / c : null; }
    else { const v = g(0, b); if (v !== null) { const [acc, pr] = s ?? [0, 0]; z = [acc + (v > pr ? v : -v), v]; o = z[0]; } }
    this.st[b] = z; return o; }
  hash() { return H(this.save()); }
  advance(src, eager) { const out = [];                                    // src(port, seq) -> effective record or undefined
    for (;;) { const at = UP[this.n].map((_, i) => { let q = this.pos[i], r; while ((r = src(i, q)) && r.rev > 0) q++; return r && r.b === this.t ? q : -1; });
      if (at.some(q => q < 0)) return out;
      let lo = this.t; const nx = at.slice();
      at.forEach((q, i) => { for (let j = this.pos[i]; j < q; j++) { const r = src(i, j); this.x[i][r.b] = r.v; lo = Math.min(lo, r.b); } this.x[i][this.t] = src(i, q).v; nx[i] = q + 1;
        if (eager) { let r; while ((r = src(i, nx[i])) && r.rev > 0) { this.x[i][r.b] = r.v; if (r.b < this.t) lo = Math.min(lo, r.b); nx[i]++; } } });
      this.pos = nx; const rs = [];
      for (let b = lo; b < this.t; b++) { const o = this.calc(b); if (!Object.is(o, this.y[b])) { this.y[b] = o; this.rv[b] = (this.rv[b] ?? 0) + 1; rs.push({ k: 'D', n: this.n, seq: this.seq++, b, rev: this.rv[b], v: o }); } }
      const o = this.calc(this.t); this.y[this.t] = o; const d = { k: 'D', n: this.n, seq: this.seq++, b: this.t, rev: 0, v: o }; this.t++;
      for (const m of [...this.x, this.st, this.y, this.rv]) for (const k of Object.keys(m)) if (+k < this.t - 4 * HZ) delete m[k];
      const sh = this.hash(), ss = this.save(); for (const r of [...rs, d]) { r.sh = r === d ? sh : ''; out.push(r); } d.save = ss; } }
}
const newView = cp => ({ off: cp ? [...cp.off] : [0, 0], n: Array.from({ length: NN }, (_, n) => cp ? { f: clone(cp.f[n]), base: cp.f[n].seq, eff: [] } : { f: fold0(), base: 0, eff: [] }) });
const effAt = (v, n, s) => v.n[n].eff[s - v.n[n].base];
function runSeed(seed, c, stat) {
  const R = rng(seed), P = (x) => R() < x, log = [[], []], trim = [0, 0], net = [], cps = [], snaps = Array.from({ length: NN }, () => []);
  const disagree = P(0.5), D = { up: true, upAt: 0, downUntil: 0, row: Array.from({ length: NN }, () => ({ e: 0, h: -1, alive: -1, rx: 0 })), wait: Array.from({ length: NN }, () => new Map()) };
  let now = 0, brokerDown = 0, inc = 0, quietFrom = 0; const part = n => n % 2, dv = newView(); const faultsUntil = 50000;
  const send = (r, sure) => { const t = now + R() * 150; if (!sure && P(0.04)) return false; net.push({ t, r }); if (P(0.06)) net.push({ t: t + R() * (P(0.3) ? 20000 : 500), r }); if (P(0.03)) { net[net.length - 1].t += R() * 20000; return false; } return true; };
  const procs = Array.from({ length: 4 }, (_, i) => ({ i, pausedTo: 0, rogue: !c.q4 && P(0.35), v: newView(), h: {}, inc: inc++ })); const msgs = [];
  const read = (v, lim = 1e9) => { for (let q = 0; q < 2; q++) { let k = 0; while (v.off[q] < log[q].length && k++ < lim) { const r = log[q][v.off[q]++], w = v.n[r.n]; if (fold(w.f, r) && r.k === 'D') w.eff.push(r); } } };
  const past = [], readers = Array.from({ length: 3 }, () => ({ joined: false, out: Array.from({ length: NN }, () => new Map()), from: null, disk: null }));
  const cpNow = () => ({ off: [...dv.off], f: dv.n.map(w => clone(w.f)) });
  const join = () => { const ok = cps.filter(x => x.off[0] >= trim[0] && x.off[1] >= trim[1]); return newView(ok[Math.floor(R() * ok.length)]); };
  cps.push(cpNow());
  while (now < 160000) {
    now += 100; const calm = now > faultsUntil || c.q4;
    if (c.q4 && now < faultsUntil && procs[0].pausedTo < now && P(0.01)) procs[0].pausedTo = now + 12000 + R() * 15000;
    if (calm && !(c.q4 && now < faultsUntil)) { for (const p of procs) p.pausedTo = Math.min(p.pausedTo, now); brokerDown = Math.min(brokerDown, now); D.downUntil = Math.min(D.downUntil, now); }
    if (!calm && P(0.002)) { brokerDown = now + R() * 6000; quietFrom = brokerDown + 300; }
    if (!calm && D.up && P(0.002)) { D.up = false; D.downUntil = now + R() * 12000; }
    if (!D.up) { quietFrom = now + 300; if (now >= D.downUntil) { D.up = true; quietFrom = now + LEASE + 300; for (const w of D.wait) w.clear(); for (const r of D.row) r.alive = r.h < 0 ? -1 : now + LEASE; } }  // memory gone, epoch and holder kept
    for (const p of procs) if (!calm) { if (P(0.002)) { p.pausedTo = now + R() * 30000; p.evil = 1; } if (P(0.001)) { p.v = join(); p.h = {}; p.inc = inc++; quietFrom = Math.max(quietFrom, now + LEASE + 300); } }
    // broker
    if (now >= brokerDown) for (let i = 0; i < net.length; i++) if (net[i].t <= now) { const [m] = net.splice(i--, 1); log[part(m.r.n)].push(m.r); if (m.r.k === 'S') stat.starts++; }
    // D: its reader makes checkpoints and trims below one that no snapshot still needs
    if (D.up && now >= brokerDown) { read(dv, 20); if (P(0.05)) cps.push(cpNow());
      if (P(0.02)) { const need = Array.from({ length: NN }, () => Infinity);
        for (let n = 2; n < NN; n++) { const s = snaps[n].filter(s => { const r = effAt(dv, n, s.seq); return r && r.sh === H(s.save); }).pop(); need[n] = Math.min(need[n], s ? s.seq : 0); UP[n].forEach((u, i) => { need[u] = Math.min(need[u], s ? JSON.parse(s.save).pos[i] : 0); }); }
        const ok = cps.filter(x => x.f.every((f, n) => f.seq <= need[n])).pop(); if (ok && ok.off[0] >= trim[0] && ok.off[1] >= trim[1]) { if (ok.off[0] > trim[0]) stat.trims++; trim[0] = ok.off[0]; trim[1] = ok.off[1]; } } }
    // messages process <-> D
    for (let i = 0; i < msgs.length; i++) if (msgs[i].t <= now) { const [m] = msgs.splice(i--, 1);
      if (m.to === 'D') { if (!D.up) continue; const r = D.row[m.n];
        if (m.what === 'renew') { if (r.h === m.inc && r.e === m.e) { r.alive = now + LEASE; r.rx = now; msgs.push({ t: now + R() * 100, to: m.p, what: 'ok', n: m.n, e: m.e, sent: m.sent, inc: m.inc }); } }
        else D.wait[m.n].set(m.inc, { p: m.p, at: now, sent: m.sent }); }
      else { const p = procs[m.to]; if (p.inc !== m.inc) continue; if (p.pausedTo > now) { m.t = p.pausedTo; msgs.push(m); if (m.t <= now + 50) break; continue; }
        const h = p.h[m.n]; if (m.what === 'grant') { p.h[m.n] = { e: m.e, ph: 1, until: m.sent + LEASE - MARGIN, ren: now, sent: 0, last: now, t0: m.rx }; if (!send({ k: 'S', n: m.n, e: m.e, p: p.i }, 1)) p.h[m.n].t0 = -1; } else if (h && h.e === m.e) h.until = Math.max(h.until, m.sent + LEASE - MARGIN); } }
    if (D.up) for (let n = 0; n < NN; n++) { const r = D.row[n]; if (now <= r.alive) continue; const w = [...D.wait[n]].filter(([, x]) => now - x.at < 4000 && !(c.q4 && x.p === 0 && procs[0].pausedTo > now)); if (!w.length) continue; const [i, x] = w[Math.floor(R() * w.length)];
        D.wait[n].clear(); const prev = r.rx; r.e++; r.h = i; r.alive = now + LEASE; r.rx = now; msgs.push({ t: now + R() * 100, to: x.p, what: 'grant', n, e: r.e, sent: now - 100, inc: i, rx: r.e > 1 && now - prev <= LEASE + 200 ? prev : -1 }); }   // Q4 counts only if a candidate was waiting when the lease lapsed
    // processes
    for (const p of procs) { if (p.pausedTo > now) { if (!c.q4) quietFrom = Math.max(quietFrom, now + 300); continue; }
      if (now >= brokerDown) { if (p.v.off.some((o, q) => o < trim[q])) { p.v = join(); p.h = {}; } read(p.v, 1 + Math.floor(R() * 12)); }
      for (let n = 0; n < NN; n++) { const h = p.h[n], w = p.v.n[n];
        if (!h) { if (P(0.1)) msgs.push({ t: now + R() * 100, to: 'D', what: 'acq', n, p: p.i, inc: p.inc, sent: now }); continue; }
        if (w.f.e > h.e) { delete p.h[n]; stat.fenced++; continue; }                                     // sees it is fenced
        if (now - h.ren >= RENEW && !p.rogue) { h.ren = now; if (!P(0.05)) msgs.push({ t: now + R() * 100, to: 'D', what: 'renew', n, e: h.e, p: p.i, inc: p.inc, sent: now }); }
        if (p.rogue && now - h.ren >= RENEW && P(0.05)) { h.ren = now; msgs.push({ t: now + R() * 100, to: 'D', what: 'renew', n, e: h.e, p: p.i, inc: p.inc, sent: now }); }
        if (now >= h.until && !p.rogue) { delete p.h[n]; continue; }                                      // honest holder stops; a rogue goes on
        if (h.ph === 1) { if (w.f.e !== h.e) { if (now - h.last > 1000) { h.last = now; send({ k: 'S', n, e: h.e, p: p.i }); } continue; }
          h.ph = 2; if (h.t0 >= 0 && h.t0 > quietFrom) { stat.q4n++; stat.q4 = Math.max(stat.q4, now - h.t0); }
          if (n > 1) { const ss = snaps[n].filter(s => s.seq >= w.base && s.seq < w.f.seq).sort((a, b) => b.seq - a.seq), s = ss.find(s => c.noSnapCheck || effAt(p.v, n, s.seq).sh === H(s.save)); stat.badSnap += s ? ss.indexOf(s) : ss.length;
            const need = s ? JSON.parse(s.save).pos : UP[n].map(() => 0), m = s ? s.save : null;
            if (UP[n].some((u, i) => p.v.n[u].base > need[i]) || (!s && w.base > 0)) { p.v = newView(cps.find(x => x.off[0] >= trim[0] && x.off[1] >= trim[1])); for (const k of Object.values(p.h)) { k.ph = 1; k.chk = undefined; k.sent = 0; k.t0 = -1; k.last = now; } break; }   // history is not here: reads again from the oldest checkpoint that is kept
            h.m = new Machine(n, m); h.buf = []; h.b0 = h.m.seq; } }
        if (n < 2) { if (now - h.last < 1000 && h.sent === w.f.seq + 1) continue;                          // a source: one record at a time, next one only when the last is effective
          const q = w.f.next - 4; let r = null; if (late(n, q) && !w.f.rev[q]) r = { b: q, rev: 1, v: feed(n, q, p.i, 1, disagree) }; else if (w.f.next < T && now >= w.f.next * 1000) r = { b: w.f.next, rev: 0, v: feed(n, w.f.next, p.i, 0, disagree) };
          if (r) { h.sent = w.f.seq + 1; h.last = now; send({ k: 'D', n, e: h.e, seq: w.f.seq, p: p.i, ...r }); } }
        else { for (const r of h.m.advance((i, s) => effAt(p.v, UP[n][i], s), c.eager)) { h.buf.push(r); if (r.save && r.b % 5 === 4) snaps[n].push({ seq: r.seq, save: p.rogue && P(0.5) ? r.save.replace(/"t":(\d+)/, '"t":$1,"x0":1').replace(/"st":\{"(-?\d+)":[^,}\]]+/, '"st":{"$1":7') .replace(/:(\d+\.\d+)/g, (_, z) => ':' + (+z + 1)) : r.save }); }
          while (h.chk === undefined ? (h.chk = h.b0, true) : h.chk < w.f.seq && h.buf[h.chk - h.b0]) { const a = h.buf[h.chk - h.b0], b = effAt(p.v, n, h.chk); if (!a || h.chk >= w.f.seq) break; h.chk++; if (b && (a.b !== b.b || a.rev !== b.rev || !Object.is(a.v, b.v) || a.sh !== b.sh)) { stat.diverged++; delete p.h[n]; break; } }
          if (!p.h[n]) continue; if (h.sent < w.f.seq) h.sent = w.f.seq; if (now - h.last > 1000 && h.seenSeq === w.f.seq) h.sent = w.f.seq; h.seenSeq = w.f.seq;
          while (h.sent < w.f.seq + 4 && h.buf[h.sent - h.b0]) { const { save, ...r } = h.buf[h.sent - h.b0]; h.sent++; h.last = now; send({ ...r, e: h.e, p: p.i }); } } } }
    // pure readers: join late, crash, resume from disk, drop what they passed on already
    if (now >= brokerDown) for (const r of readers) { if (!r.v) { if (P(0.003)) { r.v = join(); r.from = r.v.n.map(w => w.base); } continue; }
      if (r.v.off.some((o, q) => o < trim[q])) { r.v = join(); stat.trimmed++; past.push(r.out); r.out = r.out.map(() => new Map()); r.disk = null; }   // fell behind the trim: TRIMMED, starts anew as another reader
      read(r.v, 1 + Math.floor(R() * 6)); r.v.n.forEach((w, n) => { w.eff.forEach((x, i) => { const s = w.base + i; const o = r.out[n].get(s); const val = JSON.stringify([x.b, x.rev, x.v, x.p]); if (o !== undefined && o !== val) stat.fail ??= `Q1: reader changed its mind, node ${n} seq ${s}`; r.out[n].set(s, val); }); });
      if (P(0.05)) r.disk = { off: [...r.v.off], f: r.v.n.map(w => clone(w.f)) }; if (P(0.01) && r.disk) r.v = newView(r.disk); }
    if (calm && now % 1000 === 0) { const z = newView(); read(z); if (z.n.every(w => w.f.next === T)) break; }
  }
  if (c.debug) { const z = newView(); read(z); console.log(z.n.map(w=>[w.f.e,w.f.seq,w.f.next]), trim, JSON.stringify(D.row), cps.length); for (const p of procs) console.log(p.i, p.rogue, p.v.off, p.v.n.map(w=>[w.f.e,w.f.seq,w.base]).join(' '), Object.entries(p.h).map(([n,h])=>n+':e'+h.e+' ph'+h.ph+' sent'+h.sent+' b0 '+h.b0+' buf'+h.buf?.length+' t'+h.m?.t+' pos'+h.m?.pos+' chk'+h.chk+' until'+h.until).join(' | ')); }
  const z = newView(); read(z); const fail = m => { stat.fail ??= m; };
  z.n.forEach((w, n) => { if (w.f.next !== T) fail(`liveness: node ${n} stopped at bucket ${w.f.next}`); stat.eff += w.eff.length; stat.rev += w.eff.filter(r => r.rev).length;
    let nb = 0; w.eff.forEach((r, s) => { if (r.seq !== s) fail('Q2'); if (!r.rev && r.b !== nb++) fail(`Q2/Q6 node ${n}`); }); });
  stat.void += log[0].length + log[1].length - z.n.reduce((a, w) => a + w.eff.length, 0); stat.sw += z.n.reduce((a, w) => a + w.eff.filter((r, i) => i && w.eff[i - 1].p !== r.p).length, 0);
  for (let n = 2; n < NN; n++) { const m = new Machine(n); const src = n === 2 ? [z.n[0].eff] : n === 3 ? [z.n[2].ref, z.n[1].eff] : [z.n[3].ref]; z.n[n].ref = m.advance((i, s) => src[i][s]);
    z.n[n].eff.forEach((r, s) => { const q = z.n[n].ref[s]; if (!q || q.b !== r.b || q.rev !== r.rev || !Object.is(q.v, r.v) || q.sh !== r.sh) fail(`Q3: node ${n} seq ${s}: published (bucket ${r.b} rev ${r.rev}) = ${r.v}, undisturbed run (bucket ${q?.b} rev ${q?.rev}) = ${q?.v}`); }); }
  for (const v of [dv, ...procs.map(p => p.v), ...readers.map(r => r.v).filter(Boolean)]) v.n.forEach((w, n) => w.eff.forEach((r, i) => { if (z.n[n].eff[w.base + i] !== r) fail(`Q1: view differs, node ${n} seq ${w.base + i}`); }));
  [...readers.map(r => r.out), ...past].forEach(out => out.forEach((m, n) => { const ks = [...m.keys()].sort((a, b) => a - b); ks.forEach((s, i) => { if (i && s !== ks[i - 1] + 1) fail(`Q2: reader gap node ${n} at seq ${s}`); const x = z.n[n].eff[s]; if (m.get(s) !== JSON.stringify([x.b, x.rev, x.v, x.p])) fail('Q1 reader'); }); stat.reads += ks.length; }));
}
function partChain() {
  const N = opt('--seeds', QUICK ? 200 : 2000);
  for (const [name, c, breaks] of [['protocol', {}, 0], ['protocol, only holders pause (takeover time)', { q4: 1 }, 0], ['broken: snapshot not checked against the log', { noSnapCheck: 1 }, 1], ['broken: revisions applied when they arrive', { eager: 1 }, 1]]) {
    const t0 = Date.now(), st = { starts: 0, eff: 0, void: 0, rev: 0, fenced: 0, trims: 0, badSnap: 0, diverged: 0, q4: 0, q4n: 0, sw: 0, reads: 0, trimmed: 0 }; let first = null, fails = 0;
    for (let s = 1; s <= (breaks ? Math.min(N, 300) : N); s++) { delete st.fail; runSeed(s, c, st); if (st.fail) { fails++; first ??= [s, st.fail]; if (breaks) break; } }
    const ok = breaks ? fails > 0 || (st.diverged > 0) : fails === 0 && st.diverged === 0 && st.q4 <= LEASE + 1000; if (!ok) bad++;
    console.log(`${ok ? 'ok  ' : 'FAIL'} chain/${name}: ${breaks ? 'must break' : N + ' seeds'}, ${((Date.now() - t0) / 1e3).toFixed(0)} s; failing seeds ${fails}${first ? ', first ' + first.join(': ') : ''}`);
    console.log('      ' + Object.entries(st).filter(([k]) => k !== 'fail').map(([k, v]) => k + ' ' + v).join(', '));
  }
}
if (!part || part === 'chain') partChain();

// ==== part barrier: Publish(t+1) waits until every live runner ended t ======================================================
// state: log (last effective bucket), per runner [seen, ended, alive, counted], marks known to the owner, runners known
// to the owner, crashes and takeovers left
function partBarrier() {
  for (const [name, c, breaks] of [['protocol', {}, 0], ['broken: new owner trusts its empty list', { noWait: 1 }, 1], ['broken: held at the feed holder, not at the owner', { atHolder: 1 }, 1]]) {
    const TM = 4, init = { log: 0, r: [[0, 0, 1, 1], [0, 0, 1, 1]], m: [0, 0], known: 3, crash: 2, take: 2, h: [0, 0], dead: 1 };   // r: seen, ended, alive, counted (dropped runners are not)
    const seen = new Map([[JSON.stringify(init), null]]); let q = [init], hit = null, done = 0; const add = (s, f, w) => { const k = JSON.stringify(s); if (seen.has(k)) return; seen.set(k, [JSON.stringify(f), w]); s.v = undefined; q.push(s);
      for (let i = 0; i < 2; i++) if (s.r[i][3] && s.r[i][2] && s.log > s.r[i][1] + 1 && !hit) hit = [k, `bucket ${s.log} is out, live runner ${i} ended only ${s.r[i][1]}`]; };
    while (q.length && !hit) { const s = q.shift(); let moved = 0; const cp = () => JSON.parse(JSON.stringify(s)); if (s.log === TM && s.r.every(r => !r[3] || !r[2] || r[1] === TM)) done++;
      for (let i = 0; i < 2; i++) { const [a, e, al, ct] = s.r[i]; if (!al) { if (ct && true) { const x = cp(); x.r[i][3] = 0; x.known |= 1 << i; add(x, s, `runner ${i} silent for session_dead_ms: dropped, reported`); moved = 1; } continue; }
        if (a < s.log) { const x = cp(); x.r[i][0]++; add(x, s, `runner ${i} reads bucket ${a + 1}`); moved = 1; }
        if (e < a) { const x = cp(); x.r[i][1]++; add(x, s, `runner ${i} ends bucket ${e + 1} (SetTargets)`); moved = 1; }
        if (s.m[i] < e || !(s.known & (1 << i))) { const x = cp(); x.m[i] = e; x.known |= 1 << i; add(x, s, `owner books the end of ${e} by runner ${i} (also a re-send)`); moved = 1; }
        if (s.dead) { const x = cp(); x.dead = 0; x.r[i][2] = 0; add(x, s, `runner ${i} dies`); } }
      const live = i => s.r[i][3] && (c.noWait ? s.known & (1 << i) : true), okAll = m => [0, 1].every(i => !live(i) || ((s.known & (1 << i)) && m[i] >= s.log));
      const free = c.atHolder ? s.h[0] >= s.log || [0, 1].every(i => !s.r[i][3] || s.m[i] >= s.log) : okAll(s.m);
      if (s.log < TM && free) { const x = cp(); x.log++; x.h = [0, 0]; add(x, s, `Publish of bucket ${s.log + 1} passes`); moved = 1; }
      if (s.crash) { const x = cp(); x.crash--; x.m = [0, 0]; x.known = 0; add(x, s, 'barrier owner crashes, a new one starts with nothing'); }
      if (s.take && c.atHolder) { const x = cp(); x.take--; x.h = [s.log, 0]; add(x, s, 'feed taken over: the new holder has no list and publishes'); }
      if (!moved && !(s.log === TM)) { hit = [JSON.stringify(s), 'deadlock']; } }
    const ok = breaks ? !!hit : !hit && done > 0; if (!ok) bad++;
    console.log(`${ok ? 'ok  ' : 'FAIL'} barrier/${name}: ${seen.size} states${breaks ? ' (must break)' : ''}${hit ? ' -> ' + hit[1] : ''}`);
    if (hit) { const tr = []; let k = hit[0]; while (seen.get(k)) { const [pk, w] = seen.get(k); tr.push(w); k = pk; } tr.reverse().forEach((w, i) => console.log(`       ${i + 1}. ${w}`)); }
  }
}
if (!part || part === 'barrier') partBarrier();
process.exitCode = bad ? 1 : 0; console.log(bad ? `${bad} FAILED` : 'all as expected');
