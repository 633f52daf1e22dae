"""Promises of the interactive docs, in a real browser."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import (
    element_to_be_clickable,
    text_to_be_present_in_element,
)
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.browser import chromium, complaints, requested, screen, violations
from tests.support import served


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with served(tmp_path_factory.mktemp("docs"), workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


def test_the_smoke_test_can_be_tried_out_and_no_other_host_is_asked(service, browser):
    requested(browser), complaints(browser)  # of the tests before
    wait = WebDriverWait(browser, 30)
    browser.get(f"{service.main}/docs")

    def click(selector):
        wait.until(element_to_be_clickable((By.CSS_SELECTOR, selector))).click()

    summary = (By.CSS_SELECTOR, ".opblock-get .opblock-summary-description")
    wait.until(text_to_be_present_in_element(summary, "Perform a System Smoke Test"))
    click(".opblock-summary-control")
    click(".try-out__btn")
    click("button.execute")
    answer = (By.CSS_SELECTOR, ".live-responses-table tbody .response-col_description")
    wait.until(text_to_be_present_in_element(answer, "PetSage Smoke Test: Success!"))
    assert "Health & Status" in browser.find_element(By.CSS_SELECTOR, ".opblock-tag").text
    urls = requested(browser)
    assert f"{service.main}/api/v1/smoke-test" in urls
    assert all(url.startswith(service.main) for url in urls), urls
    assert complaints(browser) == []


SWAGGER_UIS_OWN = {"heading-order", "nested-interactive", "region"}
"""Faults of Swagger UI itself: its headings, buttons in buttons, a title outside of a landmark."""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_screen_and_axe_finds_only_what_is_swagger_uis_own(
    service, browser, width
):
    with screen(browser, width):
        browser.get(f"{service.main}/docs")
        summary = (By.CSS_SELECTOR, ".opblock-summary-control")
        WebDriverWait(browser, 30).until(element_to_be_clickable(summary)).click()
        opened = (By.CSS_SELECTOR, ".try-out__btn")
        WebDriverWait(browser, 30).until(element_to_be_clickable(opened))
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        # A section fades in when it opens, and its contrast is too low until then.
        style = "return document.getAnimations().length"
        WebDriverWait(browser, 30).until(lambda b: b.execute_script(style) == 0)
        assert set(violations(browser)) <= SWAGGER_UIS_OWN
