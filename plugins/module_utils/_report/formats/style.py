# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's style sheet: light and dark, desk and phone, and print."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #57606a; --edge: #d6dae0;
  --pass: #1a7f37; --pass-wash: #e3f6e8; --fail: #c5221f; --fail-wash: #fdeae9;
  --inconclusive: #8a5a00; --inconclusive-wash: #fff3d6;
  --baseline: #4f81bd; --canary: #f2a33a; --answers: #8fa3b8; --share: #1b1f24; --band: #c5221f33;
  --strip0: #e4e8ee; --strip1: #d3dae3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #181c22; --ink: #e8ebef; --soft: #a3adb8; --edge: #343b45;
    --pass: #57c878; --pass-wash: #12301c; --fail: #ff7b72; --fail-wash: #3a1616;
    --inconclusive: #e8b339; --inconclusive-wash: #34290c;
    --baseline: #4e7fc0; --canary: #c98428; --answers: #5f7187; --share: #fff; --band: #ff7b7244;
    --strip0: #262d36; --strip1: #333c47;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 16px; }
section, header { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 16px 20px; margin: 0 0 16px; }
h1 { margin: 0; font-size: 2.1rem; line-height: 1.15; letter-spacing: .01em; }
.kicker { margin: 0 0 2px; color: var(--soft); font-weight: 600; }
.answer { font-size: .75em; font-weight: 600; letter-spacing: 0; }
h2 { margin: 0 0 10px; font-size: 1.15rem; }
h3 { margin: 18px 0 6px; font-size: 1rem; }
p { margin: 6px 0; }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
header { border-left-width: 10px; }
header.pass { border-left-color: var(--pass); }
header.fail { border-left-color: var(--fail); }
header.inconclusive { border-left-color: var(--inconclusive); }
b { white-space: nowrap; }
header.pass h1, b.pass { color: var(--pass); }
header.fail h1, b.fail { color: var(--fail); }
header.inconclusive h1, b.inconclusive { color: var(--inconclusive); }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: 16px 0 4px; }
.tile { border: 1px solid var(--edge); border-radius: 8px; padding: 10px 14px; min-width: 0; }
.tile.bad { background: var(--fail-wash); border-color: var(--fail); }
.tile.unsure { background: var(--inconclusive-wash); border-color: var(--inconclusive); }
.tile dt { color: var(--soft); font-size: .875rem; }
.tile dd { margin: 0; }
.tile .big { display: block; font-size: 1.45rem; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere;
}
dl { margin: 0; }
ul.reasons { list-style: none; margin: 0; padding: 0; }
ul.reasons li { border-left: 5px solid var(--edge); padding: 6px 12px; margin: 0 0 8px; border-radius: 4px;
  overflow-wrap: anywhere; }
ul.reasons li.fail { border-color: var(--fail); background: var(--fail-wash); }
ul.reasons li.inconclusive { border-color: var(--inconclusive); background: var(--inconclusive-wash); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: 0 0 6px; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--edge);
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); white-space: nowrap; }
table.tight td { white-space: nowrap; }
td.n, th.n { text-align: right; }
.chip { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.chip.baseline { background: var(--baseline); } .chip.canary { background: var(--canary); }
.chip.other { background: var(--answers); }
.chip.stall { background: var(--ink); opacity: .4; }
.chip.outage { background: var(--fail-wash); border: 1px solid var(--fail); }
pre { overflow-x: auto; background: var(--page); border: 1px solid var(--edge); border-radius: 6px;
  padding: 10px 12px; font-size: .875rem; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
details > summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg text.title { font-weight: 600; }
svg text.scale { fill: var(--soft); font-size: 11px; }
svg text.label { font-size: 12px; }
svg path { fill: none; stroke: var(--edge); }
svg path.base { stroke: var(--soft); }
svg path.grid { stroke: var(--edge); }
svg path.mark { stroke: var(--fail); stroke-width: 2.2; }
svg path.p50 { stroke: var(--ink); stroke-width: 2; }
svg path.p99 { stroke: var(--soft); stroke-width: 1; }
svg .phase0 { fill: var(--strip0); } svg .phase1 { fill: var(--strip1); }
svg .baseline { fill: var(--baseline); } svg .canary { fill: var(--canary); }
svg .answers { fill: var(--answers); } svg .failed { fill: var(--fail); }
svg .share { fill: var(--share); stroke: var(--card); stroke-width: .6; }
svg .unobserved { fill: var(--card); opacity: .45; }
svg .outage { fill: var(--band); } svg .stall { fill: var(--ink); opacity: .3; }
.narrow { display: none; }
@media (max-width: 640px) {
  main { padding: 8px; }
  section, header { padding: 12px; border-radius: 8px; }
  header { border-left-width: 6px; }
  h1 { font-size: 1.7rem; }
  .tiles { grid-template-columns: 1fr; gap: 8px; }
  .tile .big { font-size: 1.2rem; }
  table.stack thead { display: none; }
  table.stack tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--edge); }
  table.stack td { display: block; padding: 1px 0; border: 0; overflow-wrap: anywhere; }
  table.stack td:nth-child(2) { font-weight: 600; }
  .wide { display: none; }
  .narrow { display: block; }
}
@media print { body { background: #fff; } section, header { break-inside: avoid; } }
"""
