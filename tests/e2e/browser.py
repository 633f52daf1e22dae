"""A real Chromium, and the URLs that it requests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from selenium import webdriver

from tests.support import tool


@contextmanager
def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """Runs Chromium headless, with `folder` for its profile."""
    options = webdriver.ChromeOptions()
    options.binary_location = tool("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--window-size=1280,2000",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(tool("chromedriver"))
    driver = webdriver.Chrome(options, service)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def screen(driver: webdriver.Chrome, width: int, scheme: str = "light") -> Iterator[None]:
    """Shows pages on a screen of this width during the block."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def requested(driver: webdriver.Chrome) -> set[str]:
    """Every URL that was requested since the last call, except those whose data is in the page."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    return {url for url in urls if not url.startswith(("data:", "blob:", "chrome:"))}


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the browser's console holds against the page."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def violations(driver: webdriver.Chrome) -> dict[str, list[str]]:
    """What axe holds against the page as it is now: of each rule, the elements' selectors."""
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    driver.execute_script(axe)
    found = driver.execute_async_script("axe.run().then(arguments[0])")
    return {
        one["id"]: [str(node["target"]) for node in one["nodes"]] for one in found["violations"]
    }
