"""The report in a real browser: tabs, sliders, keys, labels, both colour schemes, print; nothing in the console."""

from __future__ import annotations

import numpy as np
import pytest

from darnet.report import write_report

VISIBLE = """
const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";
return [...document.querySelectorAll(arguments[0])].filter(shown).map((e) => e.id || e.textContent.trim());
"""
BROKEN = "return [...document.images].filter((i) => !i.complete || !i.naturalWidth).map((i) => i.alt)"
# What the page asked of anything but itself.
REQUESTS = 'return performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:"))'
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Contrast of each text with what lies behind it, by the formula of WCAG 2; text on pictures is left out.
CONTRAST = """
const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126*r + 0.7152*g + 0.0722*b; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!c.endsWith(", 0)") && c !== "transparent") return c; } return "rgb(255, 255, 255)"; };
return [...document.querySelectorAll("h1, h2, h3, p, li, td, th, a, button, caption, figcaption, summary, text")]
  .filter((e) => e.textContent.trim() && e.getClientRects().length)
  .map((e) => { const s = getComputedStyle(e); const a = light(e.tagName === "text" ? s.fill : s.color);
    const b = light(behind(e)); return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim()]; })
  .filter(([ratio]) => ratio < 4.5);
"""


@pytest.fixture
def page(whole_run):
    path = whole_run.results / "report of käse #1.html"
    write_report(whole_run, path)
    return path


@pytest.fixture
def browser(start_browser, tmp_path):
    started = start_browser(tmp_path / "profile")
    yield started
    started.close()


def pixels(path):
    from matplotlib.image import imread

    return np.asarray(imread(path))[..., :3]


def test_report_in_a_browser(page, browser, tmp_path):
    browser.open(page)
    assert browser.js("return document.title") == "Dataset007_Small: report of darnet"
    assert browser.js(BROKEN) == []
    assert browser.js(REQUESTS) == []
    assert browser.js(OVERFLOW) <= 0
    go_through_tabs(browser)
    go_through_planes(browser)
    hide_labels(browser)
    assert browser.js(CONTRAST) == []
    browser.screenshot(tmp_path / "light.png")
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.js(CONTRAST) == []
    browser.screenshot(tmp_path / "dark.png")
    assert pixels(tmp_path / "light.png").mean() > 0.6
    assert pixels(tmp_path / "dark.png").mean() < 0.4
    print_it(browser, tmp_path)
    browser.devtools(
        "Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=False
    )  # a telephone
    assert browser.js(OVERFLOW) <= 0
    assert browser.errors() == []


def go_through_tabs(browser):
    """By mouse, then by keys; one panel is seen at a time, and the focus follows."""
    assert browser.js(VISIBLE, "#montage [role=tabpanel]") == ["montage-panel-1"]
    browser.click("#montage-tab-2")
    assert browser.js(VISIBLE, "#montage [role=tabpanel]") == ["montage-panel-2"]
    assert browser.js("return document.getElementById('montage-tab-2').getAttribute('aria-selected')") == "true"
    for key, expected in (("\ue014", 3), ("\ue014", 1), ("\ue012", 3), ("\ue011", 1), ("\ue010", 3)):
        browser.press(":focus", key)  # right, right, left, home, end
        assert browser.js("return document.activeElement.id") == f"montage-tab-{expected}"
        assert browser.js(VISIBLE, "#montage [role=tabpanel]") == [f"montage-panel-{expected}"]
    # Other tabs are left as they are.
    assert browser.js(VISIBLE, "#styles [role=tabpanel]") == ["styles-panel-1"]


def go_through_planes(browser):
    """A slider moved by keys shows the next planes of both kinds of scan."""
    pictures = "#through-axial .step:not([hidden]) img:not(.overlay)"
    shown = f'return [...document.querySelectorAll("{pictures}")].map((i) => i.alt)'
    before = browser.js(shown)
    assert len(before) == 2
    browser.press("#through-axial-slider", "\ue010")
    last = browser.js(shown)
    assert [text.rsplit(": ", 1)[1] for text in last] == ["axial plane 6 of 6"] * 2
    assert last != before
    browser.press("#through-axial-slider", "\ue012")
    assert browser.js(shown) != last
    assert browser.js("return document.querySelector('#through-axial output').textContent") == "5 of 6"
    assert len(browser.js(VISIBLE, "#through-axial .step")) == 1


def hide_labels(browser):
    assert browser.js(VISIBLE, ".overlay")
    browser.click("#data input.labels")
    assert browser.js(VISIBLE, ".overlay") == []
    assert browser.js("return [...document.querySelectorAll('input.labels')].map((i) => i.checked)") == [False, False]
    browser.click("#predictions input.labels")
    assert browser.js(VISIBLE, ".overlay")


def print_it(browser, tmp_path):
    """On paper all planes are there, on white, without sliders."""
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    assert len(browser.js(VISIBLE, "#montage [role=tabpanel]")) == 3
    assert browser.js(VISIBLE, "input, [role=tab], nav a") == []
    assert browser.js(CONTRAST) == []
    browser.print_to_pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    browser.devtools("Emulation.setEmulatedMedia", media="")


def test_faults_of_a_page_are_seen(browser, tmp_path):
    """The checks above can fail."""
    page = tmp_path / "page.html"
    page.write_text(
        "<body style='background: #fff'><p style='color: #ccc; width: 3000px'>faint</p>"
        "<img src='data:image/png;base64,AAAA' alt='broken'><script>nonsense()</script>"
    )
    browser.open(page)
    assert browser.js(BROKEN) == ["broken"]
    assert browser.js(OVERFLOW) > 0
    assert [text for _, text in browser.js(CONTRAST)] == ["faint"]
    assert any("nonsense" in message for message in browser.errors())
