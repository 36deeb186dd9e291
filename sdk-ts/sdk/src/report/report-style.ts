/** The report's only style sheet: system fonts, follows the reader's light or dark setting. */
export const REPORT_STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#5b6672;--paper:#fff;--rule:#d7dde3;--l0:#1f6feb;--l1:#8a94a0;--l2:#b5482a;--l3:#2c8a57;--l4:#7d4cc2;--l5:#a97a00}
@media (prefers-color-scheme:dark){:root{--ink:#e4e9ee;--dim:#98a4b0;--paper:#14181d;--rule:#313a44;--l0:#6ea8ff;--l1:#9aa6b2;--l2:#f08a68;--l3:#5fc48d;--l4:#b692f0;--l5:#e0b44a}}
body{margin:0 auto;max-width:900px;padding:24px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1,h2,h3{line-height:1.25}h2{margin-top:2.2em;border-bottom:1px solid var(--rule)}small{color:var(--dim);font-weight:400}
.stamp{border:2px solid var(--l2);padding:4px 10px;display:inline-block;font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}th,td{text-align:left;padding:3px 8px;border-bottom:1px solid var(--rule)}
.num{text-align:right;font-variant-numeric:tabular-nums}
.figures{display:flex;flex-wrap:wrap;gap:6px 22px}.figures dt{color:var(--dim);font-size:13px}.figures dd{margin:0;font-variant-numeric:tabular-nums}
figure{margin:14px 0}figcaption{font-size:13px;color:var(--dim)}svg{width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}svg .left{text-anchor:end;dominant-baseline:middle}
.grid{stroke:var(--rule)}.line{fill:none;stroke-width:1.4}
.line-0{stroke:var(--l0)}.line-1{stroke:var(--l1)}.line-2{stroke:var(--l2)}.line-3{stroke:var(--l3)}.line-4{stroke:var(--l4)}.line-5{stroke:var(--l5)}
.key{margin-left:8px}.key-0{color:var(--l0)}.key-1{color:var(--l1)}.key-2{color:var(--l2)}.key-3{color:var(--l3)}.key-4{color:var(--l4)}.key-5{color:var(--l5)}
`;
