"""Promises of the status page in a real browser."""

import threading
from contextlib import contextmanager
from functools import partial

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from werkzeug.serving import WSGIRequestHandler, make_server

from petsage import CheckFailed
from petsage.health.conditions import drain_condition
from petsage.health.monitor import Monitor
from petsage.health.service import Health, Identity
from petsage.management import views as management
from petsage.scoreboard import Scoreboard
from tests.e2e.browser import chromium, complaints, requested, screen, violations
from tests.fakes import Subject, check, condition
from tests.support import get, served, wait_until

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"

SHOP = """\
from pathlib import Path
from flask import Flask
from petsage import Check, CheckFailed, health

def stock():
    if Path("sold-out").exists():
        raise CheckFailed("no shelf <b>is</b> left")

app = Flask("shop")
health.init_app(app, [Check(f"shelf-{i}", lambda: None) for i in range(60)]
    + [Check("stock", stock, fresh_seconds=0.1)])
"""


READER = """
const row = document.activeElement;
return [row.id, row.mark, row.getBoundingClientRect().top];
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def browser(driver):
    """A browser that shows nothing, since the page of the test before would ask on and on, and
    that remembers none of its requests."""
    driver.get("about:blank")
    requested(driver), complaints(driver)
    return driver


class _Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


@contextmanager
def instance(*checks, conditions=(), draining=False, port=0):
    """The management application of an instance in this process; yields its base URL."""
    scoreboard = Scoreboard()
    scoreboard.draining = draining
    monitor = Monitor(checks, [drain_condition(scoreboard), *conditions])
    health = Health(monitor, scoreboard, Identity("r1", "i1"))
    app = management.management_app(health)
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def mixed():
    return (
        check("cache", Subject(CheckFailed("slow")), critical=False),
        check("database", Subject(CheckFailed("connection refused"))),
        check("disk"),
    )


def text(browser, selector):
    try:
        return browser.find_element(By.CSS_SELECTOR, selector).text
    except WebDriverException:  # just then the page was loaded again
        return ""


def refresh(browser):
    """Refreshes the page now, not when the page itself would."""
    browser.execute_script("document.dispatchEvent(new Event('visibilitychange'))")


def refreshed(browser, condition):
    """Refreshes the page until the condition holds: what it shows may be a second old."""
    wait_until(lambda: (refresh(browser), condition())[1])


def shows(browser, script, expected):
    return browser.execute_script(script) == expected


def test_a_check_turns_red_while_the_page_is_open_and_the_reader_keeps_the_place(browser, tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    with served(tmp_path, "shop:app", cwd=tmp_path, workers=1) as service:
        browser.get(f"{service.management}/status")
        assert text(browser, "h1") == "All is well"
        browser.execute_script(
            "const row = document.getElementById('check-shelf-50');"
            "row.scrollIntoView(); row.focus(); row.mark = 'the same element'"
        )
        assert browser.execute_script("return scrollY") > 500
        place = browser.execute_script(READER)
        (tmp_path / "sold-out").touch()
        wait_until(lambda: text(browser, "h1") == "1 check fails", seconds=20)
        assert "no shelf <b>is</b> left" in text(browser, "#check-stock.fail")
        assert browser.title.startswith("fail")
        icon = browser.find_element(By.CSS_SELECTOR, "link[rel=icon]").get_attribute("href")
        assert "c4262e" in icon
        assert "stock" in text(browser, ".changes")
        assert browser.execute_script(READER) == place
        (tmp_path / "sold-out").unlink()
        refreshed(browser, lambda: text(browser, "h1") == "All is well")
        assert browser.execute_script(READER) == place
        assert requested(browser) == {f"{service.management}/status"}
        assert complaints(browser) == []


def test_hostile_names_reasons_and_agents_stay_text(browser):
    conditions = [condition(HOSTILE, ready=lambda: HOSTILE)]
    with instance(check(run=Subject(CheckFailed(HOSTILE))), conditions=conditions) as url:
        get(f"{url}/readyz", headers={"User-Agent": HOSTILE})
        for _ in range(2):
            browser.get(f"{url}/status")
            refresh(browser)
        wait_until(lambda: browser.title.startswith("fail"))
        assert browser.find_elements(By.CSS_SELECTOR, "main img, main script") == []
        assert HOSTILE in text(browser, ".checks")
        assert HOSTILE in text(browser, ".changes")
        assert HOSTILE in text(browser, ".ledger .name")
        assert requested(browser) == {f"{url}/status"}
        assert complaints(browser) == []


def test_a_row_that_comes_first_moves_the_others_and_makes_none_new(browser):
    subject = Subject()
    rows = "const rows = [...document.querySelectorAll('.changes tbody tr')];"
    with instance(check(run=subject, fresh_seconds=0, stale_seconds=1)) as url:
        browser.get(f"{url}/status")
        for number, error in enumerate((CheckFailed("one"), None, CheckFailed("three"))):
            browser.execute_script(f"{rows} rows.forEach((row, i) => row.mark = i)")
            subject.error = error
            shown = f"{rows} return rows.map((row) => row.mark)"
            expected = [None, *range(number)]
            refreshed(browser, partial(shows, browser, shown, expected))


def test_an_instance_that_is_gone_is_shown_and_its_return_too(browser):
    lost = "#lost"

    def seen():
        icon = browser.find_element(By.CSS_SELECTOR, "link[rel=icon]").get_attribute("href")
        opacity = "return getComputedStyle(document.getElementById('page')).opacity"
        return browser.title, "888888" in icon, browser.execute_script(opacity)

    with instance(check()) as url:
        browser.get(f"{url}/status")
        assert not browser.find_element(By.CSS_SELECTOR, lost).is_displayed()
    refresh(browser)
    wait_until(lambda: text(browser, lost) == "No answer. What is below is old.")
    assert seen() == ("no answer · pass · i1 · PetSage", True, "0.5")
    with instance(check(), port=int(url.rpartition(":")[2])):
        refresh(browser)
        wait_until(lambda: not browser.find_element(By.CSS_SELECTOR, lost).is_displayed())
        assert seen() == ("pass · i1 · PetSage", False, "1")


def test_it_works_with_scripts_off_and_refreshes_itself(browser):
    subject = Subject()
    with instance(check(run=subject, fresh_seconds=0, stale_seconds=1)) as url:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            browser.get(f"{url}/status")
            wait_until(lambda: text(browser, "h1") == "All is well")
            subject.error = CheckFailed("down")
            wait_until(lambda: text(browser, "h1") == "1 check fails", seconds=25)
        finally:
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_with_a_keyboard_alone_what_fails_can_be_reached(browser):
    with instance(*mixed()) as url:
        browser.get(f"{url}/status")
        browser.switch_to.active_element.send_keys(Keys.TAB)
        assert browser.switch_to.active_element.text == "database"
        style = "return getComputedStyle(document.activeElement).outlineStyle"
        assert browser.execute_script(style) == "solid"
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        assert browser.current_url.endswith("#check-database")
        refresh(browser)
        assert browser.execute_script("return document.querySelector(':target').checkVisibility()")
        browser.switch_to.active_element.send_keys(Keys.TAB)
        assert browser.switch_to.active_element.text == "Metrics"


CONTRASTS = """
const channels = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = (text) => {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = channels(text).map((c) => linear(c / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (channels(colour)[3] !== 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
document.getElementById("lost").hidden = false;
const found = {};
for (const element of document.querySelectorAll("body *")) {
  if (![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
  if (!element.checkVisibility()) continue;
  const colours = [getComputedStyle(element).color, ground(element)];
  const [a, b] = colours.map(luminance).sort((x, y) => y - x);
  const name = element.tagName + "." + element.className;
  found[name] = Math.min(found[name] ?? 99, (a + 0.05) / (b + 0.05));
}
return found;
"""  # https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["mixed", "well", "warned", "draining"])
def test_every_text_has_the_contrast_of_wcag_aa(browser, scheme, state):
    checks = {"mixed": mixed(), "warned": mixed()[:1]}.get(state, (check(),))
    with instance(*checks, draining=state == "draining") as url, screen(browser, 1280, scheme):
        browser.get(f"{url}/readyz")
        browser.get(f"{url}/status")
        found = browser.execute_script(CONTRASTS)
    assert len(found) > 10
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("width", [320, 390, 768, 1000, 1280])
def test_nothing_is_wider_than_the_screen(browser, width):
    long = check("a-check-with-the-longest-name-that-one-may-have." + "x" * 16, mixed()[1].run)
    with instance(*mixed(), long) as url, screen(browser, width):
        browser.get(f"{url}/readyz")
        browser.get(f"{url}/status")
        wide = "return document.documentElement.scrollWidth"
        assert browser.execute_script(wide) <= width
        for word in ("database", "connection refused", "HeadlessChrome"):
            assert word in text(browser, "main")
        reason = browser.find_element(By.CSS_SELECTOR, "#check-database .reason")
        assert reason.size["width"] >= 150


def listed(browser, selector):
    """The texts of the rows that are shown."""
    rows = browser.find_elements(By.CSS_SELECTOR, f"{selector} tbody tr")
    return [row.text for row in rows if row.is_displayed()]


def changed(url, subjects, times):
    """Fails and passes each subject in turn, so many times, and asks for a report each time."""
    for number in range(times):
        for subject in subjects:
            subject.error = None if number % 2 else CheckFailed("down")
        get(f"{url}/readyz")


def fleeting(name, subject):
    return check(name, subject, fresh_seconds=0, stale_seconds=1)


def test_a_check_that_flaps_is_one_line(browser):
    flapping, steady = Subject(), Subject()
    with instance(fleeting("flapping", flapping), fleeting("steady", steady)) as url:
        changed(url, [steady], 2)
        changed(url, [flapping], 12)
        browser.get(f"{url}/status")
        rows = listed(browser, ".changes")
        assert len(rows) == 3
        assert "12 changes in 10 min" in rows[0]
        assert "flapping" in rows[0]
        found = get(f"{url}/status", headers={"Accept": "application/json"}).json()
        assert len(found["changes"]) == 14


@pytest.mark.parametrize("scripts", [True, False])
def test_both_lists_show_ten_entries_and_open_on_demand(browser, scripts):
    subjects = [Subject() for _ in range(12)]
    checks = [fleeting(f"c{number}", one) for number, one in enumerate(subjects)]
    off = {"value": not scripts}
    with instance(*checks) as url:
        changed(url, subjects, 1)
        for number in range(13):
            get(f"{url}/livez", headers={"User-Agent": f"agent {number}"})
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", off)
        try:
            browser.get(f"{url}/status")
            for selector in (".changes", ".ledger"):
                assert len(listed(browser, selector)) == 10
            for selector, count in ((".changes", 12), (".ledger", 14)):
                browser.find_element(By.CSS_SELECTOR, f"{selector} + details > summary").click()
                assert len(listed(browser, selector)) == count
            if scripts:
                browser.execute_script("window.seen = document.querySelector('footer').innerText")
                footer = "return document.querySelector('footer').innerText !== window.seen"
                refreshed(browser, lambda: browser.execute_script(footer))
            else:
                browser.find_element(By.LINK_TEXT, "Keep them open").click()
                browser.refresh()
            assert len(listed(browser, ".changes")) == 12
            assert len(listed(browser, ".ledger")) == 14
        finally:
            browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_on_the_page(browser, scheme, width):
    subjects = [Subject() for _ in range(12)]
    checks = [fleeting(f"c{number}", one) for number, one in enumerate(subjects)]
    with instance(*mixed(), *checks) as url, screen(browser, width, scheme):
        changed(url, subjects, 1)
        changed(url, subjects[:1], 6)
        for path in ("/status", "/status?open"):
            browser.get(f"{url}{path}")
            assert violations(browser) == {}
