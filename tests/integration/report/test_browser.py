# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html in a real browser, as wide as a desk and as a phone: nothing sticks out, nothing is loaded, and
axe, which looks for what keeps people from reading a page, finds nothing.

Chromium measures the page itself: a copy of it carries a script that writes what it finds into the
document, which `--dump-dom` prints. The report has no script of its own.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish
from ansible_collections.iter8.kfserving.tests.support import runs

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip

# What of the page is wider than the window, which text of the charts leaves its picture or covers other
# text, and how much contrast the words have with what is behind them.
MEASURE = """
<script>
addEventListener('load', () => {
  const box = e => e.getBoundingClientRect();
  const shown = e => box(e).width > 0 && getComputedStyle(e).display !== 'none';
  const inScroll = e => e.closest('.scroll, pre, svg');
  const sticking = [...document.querySelectorAll('main *')].filter(
    e => shown(e) && !inScroll(e) && box(e).right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80));
  const outside = [], covered = [];
  for (const svg of document.querySelectorAll('svg')) {
    if (!shown(svg)) continue;
    const edge = box(svg), texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, box(t)]);
    for (const [words, b] of texts)
      if (b.left < edge.left - 1 || b.right > edge.right + 1 || b.bottom > edge.bottom + 1)
        outside.push(words);
    texts.forEach(([words, a], i) => texts.slice(i + 1).forEach(([other, b]) => {
      if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4)
        covered.push(words + ' / ' + other);
    }));
    for (const mark of svg.querySelectorAll('path.mark')) {
      const m = box(mark);
      for (const [words, b] of texts)
        if (m.left < b.right && b.left < m.right && m.top < b.bottom - 3 && b.top + 3 < m.bottom)
          covered.push(words + ' / a failure');
    }
  }
  const light = c => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|transparent/.test(c)) return c;
    }
    return 'rgb(255, 255, 255)';
  };
  const pale = [...document.querySelectorAll('h1,h2,p,li,dt,dd span,th,td,b,caption,summary,code')]
    .filter(e => shown(e) && e.textContent.trim()).map(e => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.textContent.slice(0, 40)];
    }).concat([...document.querySelectorAll('svg text')].filter(shown).map(e => {
      const [a, b] = [light(getComputedStyle(e).fill), light(behind(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), 'chart: ' + e.textContent];
    })).filter(([ratio]) => ratio < 4.5).map(([ratio, words]) => ratio.toFixed(2) + ' ' + words);
  const scrolling = [...document.querySelectorAll('table.stack')]
    .filter(t => t.parentElement.scrollWidth > t.parentElement.clientWidth + 1).length;
  const tiles = [...document.querySelectorAll('.tile')].map(t => box(t).bottom);
  document.body.innerHTML = '<pre id="found"></pre>';
  document.getElementById('found').textContent = JSON.stringify({
    width: innerWidth, scrolling, sticking, outside, covered, pale,
    fold: Math.max(0, ...tiles), dark: matchMedia('(prefers-color-scheme: dark)').matches,
    loaded: performance.getEntriesByType('resource').map(r => r.name),
  });
});
</script>
"""


# What axe is sure of. What it cannot decide, the contrast of words that lie on a chart, MEASURE looks at.
ACCESSIBLE = """
<script>
axe.run().then(found => {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  document.body.innerHTML = '<pre id="found"></pre>';
  document.getElementById('found').textContent = JSON.stringify({
    dark, held: found.passes.length,
    broken: found.violations.map(rule => [rule.id, rule.nodes.map(node => node.html.slice(0, 120))]),
  });
});
</script>
"""


def measure(
    page: Path, folder: Path, width: int, height: int, dark: bool, *, script: str = MEASURE
) -> Mapping[str, Any]:
    """What `script` finds on the page in a window of this size."""
    copy = folder / "measured.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", script + "</body>"), encoding="utf-8")
    frame = folder / "frame.html"
    # A window of a headless Chromium is never narrower than 500 px, a frame in it may be.
    frame.write_text(
        f'<iframe id="f" src="measured.html" style="width:{width}px;height:{height}px;border:0"></iframe>'
    )
    more = (
        ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    )
    target = copy
    if width < 500:
        target = frame
        frame.write_text(frame.read_text() + COPY_OUT)
        more.append("--allow-file-access-from-files")
    command = [
        str(BROWSER), *FLAGS, *more, f"--user-data-dir={folder / 'profile'}",
        f"--window-size={max(width, 600)},{height}", "--virtual-time-budget=3000", "--dump-dom",
        target.as_uri(),
    ]  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', _run(command), re.DOTALL)
    assert found, "the page did not measure itself"
    measured: Mapping[str, Any] = json.loads(unescape(found.group(1)))
    return measured


COPY_OUT = """
<script>
const frame = document.getElementById('f');
frame.onload = () => setTimeout(() => {
  document.body.append(document.importNode(frame.contentDocument.getElementById('found'), true));
}, 200);
</script>
"""


def _run(command: list[str]) -> str:
    """The command's output; the whole browser is ended with it, whatever happens."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        return process.communicate(timeout=60)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desk", "phone"])
@pytest.mark.parametrize("name", ["good", "lossy", "long", "hostile", "nothing"])
def test_the_page_fits_and_can_be_read(
    name: str, width: int, height: int, dark: bool, tmp_path: Path
) -> None:
    publish({**runs.judged(runs.RUNS[name](), tmp_path), "rerun": "make e2e FAULT=canary-5xx"})
    found = measure(tmp_path / "report.html", tmp_path, width, height, dark)
    assert found["width"] == width
    assert found["dark"] is dark
    assert found["sticking"] == []
    assert found["scrolling"] == 0, "the claims' evidence must be read without scrolling sideways"
    assert found["outside"] == []
    assert found["covered"] == []
    assert found["pale"] == []
    assert found["loaded"] == []
    assert 0 < found["fold"] < height, (
        "what was lost, when and from which revision must be seen without scrolling"
    )


def accessible(page: Path, folder: Path, dark: bool) -> Mapping[str, Any]:
    """What axe finds on the page."""
    library = importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    return measure(page, folder, 1280, 900, dark, script=f"<script>{library}</script>{ACCESSIBLE}")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["good", "lossy", "nothing"])
def test_the_page_is_accessible(name: str, dark: bool, tmp_path: Path) -> None:
    publish({**runs.judged(runs.RUNS[name](), tmp_path), "rerun": "make e2e FAULT=canary-5xx"})
    found = accessible(tmp_path / "report.html", tmp_path, dark)
    assert found["dark"] is dark
    assert found["broken"] == []
    assert found["held"] > 20


def test_what_keeps_people_from_reading_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<html><head><title>x</title></head><body><main><h1>x</h1><img src='data:,'>"
        "<p style='color:#bbb'>pale</p></main></body></html>",
        encoding="utf-8",
    )
    broken = [rule for rule, _unused in accessible(page, tmp_path, False)["broken"]]
    assert broken == ["color-contrast", "html-has-lang", "image-alt"]
