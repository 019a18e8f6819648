"""The status page in a real browser, with a gateway whose figures the test holds."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.observe import HttpLimits, StatusServer
from gateway.observe.leaving import Leaving
from gateway.reading import Flag
from tests.browser.chromium import NARROW, PHONE, SCREEN, open_tab
from tests.observe.figures import SECOND, Adapter, Room, live
from tests.observe.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

VALUE = "value/air-roof/1/now"
TAB, ENTER = ("Tab", 9), ("Enter", 13)
MOST_STOPS = 40
LEAST_CONTRAST = 7.0
"""WCAG 2.2, success criterion 1.4.6 (AAA)."""

LEAST_DRAWN = 3.0
"""Of lines and borders that mean something (1.4.11)."""

CONTRAST = """
  const channel = (c) => (c /= 255, c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    throw Error("nothing behind");
  };
  const contrast = (colour, ground) => {
    const pair = [light(numbers(colour)), light(ground)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
"""
CONTRASTS = f"""
(() => {{{CONTRAST}
  const found = [];
  for (const element of document.querySelectorAll("body *")) {{
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.getClientRects().length) continue;
    found.push([contrast(getComputedStyle(element).color, behind(element)), element.outerHTML]);
  }}
  return found;
}})()
"""
DRAWN = f"""
(() => {{{CONTRAST}
  const found = [];
  const look = (selector, property, outside) => {{
    for (const element of document.querySelectorAll(selector)) {{
      const colour = getComputedStyle(element)[property];
      const ground = behind(outside ? element.parentElement : element);
      found.push([contrast(colour, ground), selector, element.outerHTML.slice(0, 200)]);
    }}
  }};
  look(".values path", "stroke", false);
  look(".link", "borderLeftColor", true);
  look("progress", "borderTopColor", true);
  look("h2", "borderBottomColor", true);
  return found;
}})()
"""
OUTLINE = f"""
(() => {{{CONTRAST}
  const element = document.activeElement;
  const style = getComputedStyle(element);
  return [parseFloat(style.outlineWidth), contrast(style.outlineColor, behind(element))];
}})()
"""
MOVING = """
[...document.querySelectorAll("*")].filter((each) => {
  const style = getComputedStyle(each);
  return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0
    || style.scrollBehavior !== "auto";
}).length
"""
SMALL_TARGETS = """
[...document.querySelectorAll("a, summary")].filter((each) => {
  const box = each.getBoundingClientRect();
  return each.className !== "skip" && box.height > 0 && box.height < 40;
}).map((each) => each.outerHTML)
"""
FOCUSED = """
(({ id, parentElement, textContent }) => `${id || parentElement.id} ${textContent}`)(
  document.activeElement)
"""


def serving(room: Room, *, port: int = 0, streams: int = 8) -> StatusServer:
    limits = {"event_interval_s": 0.1, "streams": streams}
    return StatusServer(
        room.look,
        listen=("127.0.0.1", port),
        leaving=leaving,
        limits=type("Limits", (HttpLimits,), dict[str, float](limits)),
    )


def leaving() -> Mapping[str, Leaving]:
    return {
        name: Leaving(
            destination=f"mqtts://mqtt.{name}.example:8883",
            format="json",
            encrypted=name == "aarhus",
            open=name == "vejle",
            allows=lambda series: series.privacy == "P0" and series.key.quantity != "air.pm10",
            knows=lambda _, privacy: privacy == "P0",
        )
        for name in ("aarhus", "vejle")
    }


def troubled(room: Room) -> Room:
    """Let something of everything be wrong, so that all of the page is seen."""
    room.buffer.degraded, room.buffer.degraded_reason = True, "No space left on device"
    room.links["vejle"].state = "waiting"
    room.links["vejle"].last_error = "mqtt.vejle.example:8883: connection refused"
    room.links["vejle"].last_error_cause = "refused"
    room.readers["vejle"].pending = 1234
    room.readers["vejle"].oldest_pending_time_ns = room.wall_at_boot_ns
    room.ports["air-roof"].recovery_step = 2
    room.ports["meter"].open = False
    room.ports["meter"].last_error = "vanished"
    room.sensors["air-square"].last_reading_ns = room.now_ns - 90 * SECOND
    room.sensors["air-roof"].live[1].flags = int(Flag.WARM_UP)
    room.sensors["air-roof"].last_fault = "checksum: 1 frame"
    assert room.scanner is not None
    room.scanner.adapters["hci1"] = Adapter(open=False, recovery_step=3, last_error="gone")
    return room


def many(room: Room) -> Room:
    """Give one sensor more values than are shown at once."""
    room.sensors["air-square"].live = {
        10 + at: live(10 + at, "air-square", quantity, unit, value, dims=dims)
        for at, (quantity, unit, value, dims) in enumerate(
            (
                ("air.humidity", "%", 77.025, ()),
                ("air.pressure", "hPa", 996.91, ()),
                ("air.temperature", "Cel", -3.25, ()),
                ("device.voltage", "V", 2.996, ()),
                ("electric.active_power", "W", 12345.5, (("phase", "L1"),)),
                ("electric.active_power", "W", 0.5, (("phase", "L2"),)),
            )
        )
    }
    return room


def an_hour(room: Room, server: StatusServer) -> None:
    """Let an hour pass, with a pause in it, as the server sees it."""
    roof = room.sensors["air-roof"].live[1]
    square = room.sensors["air-square"].live.values()
    start_ns = room.now_ns
    for minute in range(60):
        room.now_ns = start_ns + minute * 60 * SECOND
        for at, each in enumerate(square):
            each.time_ns = room.now_ns
            each.value += ((minute * (3 + at)) % 7 - 3) / 10
        if not 20 < minute < 30:
            for value in (7.0 + minute % 9 / 3, 7.3):
                roof.time_ns, roof.value = room.now_ns, value
                server._pages.history.look(room.look())
    room.sensors["air-roof"].last_reading_ns = room.now_ns
    room.sensors["air-square"].last_reading_ns = room.now_ns
    room.readers["aarhus"].oldest_pending_time_ns = room.wall_at_boot_ns + room.now_ns
    for link in room.links.values():
        link.last_acknowledged_ns = room.now_ns
    room.loop_lag.observe(0.0, room.now_ns / SECOND)


async def test_values_appear_and_change_and_nobody_else_is_asked(room: Room, browser: str) -> None:
    async with serving(room) as server, open_tab(browser) as tab:
        await tab.go(f"http://{server.address}/")
        assert await tab.text(VALUE) == "7.3"
        room.sensors["air-roof"].live[1].value = 8.25
        await tab.until_text(VALUE, "8.25")
        room.links["vejle"].state = "refused"
        await tab.until_text("link/vejle/state", "refused")
        row = "document.getElementById('link/vejle').dataset.state"
        assert await tab.value(row) == "refused"
        asked = {each for each in tab.requests if not each.startswith("data:")}
        assert {each.split("/")[2] for each in asked} == {server.address}
        assert {each.split("/")[3].partition("?")[0] for each in asked} == {
            "",
            "page.css",
            "page.js",
            "events",
        }
        assert tab.complaints == []


async def test_what_comes_and_goes_is_shown_without_a_new_page(room: Room, browser: str) -> None:
    many(room)
    async with serving(room) as server, open_tab(browser) as tab:
        await tab.go(f"http://{server.address}/")
        await tab.value("window.mark = 1; document.querySelector('details').open = true")
        await tab.value("document.querySelector('summary').focus()")
        new = room.sensors["new"] = type(room.sensors["air-roof"])()
        new.live = {77: live(77, "new", "air.co2", "[ppm]", 415.0)}
        room.buffer.degraded, room.buffer.degraded_reason = True, "No space left"
        await tab.until_text("value/new/0/now", "415")
        await tab.until_text("reason/0", "No space left")
        del room.sensors["new"]
        await tab.until("document.getElementById('value/new/0/now') === null")
        assert await tab.value("window.mark") == 1
        assert await tab.value("document.querySelector('details').open")
        assert await tab.value("document.activeElement.tagName") == "SUMMARY"


async def test_the_page_says_when_nobody_answers_and_recovers(room: Room, browser: str) -> None:
    async with open_tab(browser) as tab:
        async with serving(room) as server:
            await tab.go(f"http://{server.address}/")
            port = int(server.address.rpartition(":")[2])
            assert await tab.text("lost") == ""
        await tab.until_text("lost", "No connection")
        room.sensors["air-roof"].live[1].value = 9.75
        async with serving(room, port=port):
            await tab.until_text(VALUE, "9.75")
            assert await tab.text("lost") == ""


async def test_a_refused_watcher_tries_again(room: Room, browser: str) -> None:
    """Whoever comes when all places are taken sees the page, and is kept fresh once one is free."""
    async with serving(room, streams=1) as server, open_tab(browser) as first:
        await first.go(f"http://{server.address}/")
        await first.until("performance.getEntriesByType('resource').length >= 2")
        await until(lambda: server._streams)
        async with open_tab(browser) as second:
            await second.go(f"http://{server.address}/")
            assert await second.text(VALUE) == "7.3"
            await second.until_text("lost", "No connection")
            await first.ask("Page.navigate", url="about:blank")
            room.sensors["air-roof"].live[1].value = 8.5
            await second.until_text(VALUE, "8.5")


@pytest.mark.parametrize(
    ("browser_speaks", "wanted"), [("da-DK,da;q=0.9,en;q=0.8", "da"), ("de,en;q=0.5", "en")]
)
async def test_it_speaks_the_language_of_the_browser_and_has_a_switch(
    room: Room, browser: str, browser_speaks: str, wanted: str
) -> None:
    title = {"da": "Sensorer", "en": "Sensors"}
    value = {"da": "12,1", "en": "12.1"}
    other = "en" if wanted == "da" else "da"
    async with serving(room) as server, open_tab(browser, language=browser_speaks) as tab:
        await tab.go(f"http://{server.address}/")
        assert await tab.value("document.documentElement.lang") == wanted
        assert await tab.text("sensors") == title[wanted]
        await tab.value(f"document.querySelector('nav a[lang={other}]').click()")
        await tab.until_text("sensors", title[other])
        assert await tab.value("document.documentElement.lang") == other
        await tab.until_text("value/air-roof/0/now", value[other])
        room.sensors["air-roof"].live[1].value = 3.5
        await tab.until_text(VALUE, {"da": "3,5", "en": "3.5"}[other])


async def test_it_is_used_with_the_keyboard_alone(room: Room, browser: str) -> None:
    many(room)
    async with serving(room) as server, open_tab(browser) as tab:
        await tab.go(f"http://{server.address}/")
        await tab.press(*TAB)
        assert "To the sensors" in await tab.value(FOCUSED)
        assert await tab.value("document.activeElement.getBoundingClientRect().left") >= 0
        await tab.press(*ENTER)
        assert (await tab.value(FOCUSED)).startswith("sensors ")
        stops = []
        for _ in range(MOST_STOPS):
            await tab.press(*TAB)
            width, contrast = await tab.value(OUTLINE)
            assert (width, contrast >= LEAST_CONTRAST) == (4, True)
            stops.append(await tab.value(FOCUSED))
            if "leaves/vejle" in stops[-1]:
                break
        assert [each.split(" ")[0] for each in stops] == [
            "more/air-square",
            "leaves/aarhus",
            "leaves/vejle",
        ]
        await tab.press(*ENTER)
        assert await tab.value("document.getElementById('leaves/vejle').open")


async def test_what_is_read_out_is_restrained_and_all_is_a_landmark(
    room: Room, browser: str
) -> None:
    async with serving(room) as server, open_tab(browser) as tab:
        await tab.go(f"http://{server.address}/")
        spoken = await tab.value(
            "[...document.querySelectorAll('[aria-live],[role=status],[role=alert]')]"
            ".map((each) => each.textContent)"
        )
        assert spoken == ["", "ok"]  # the connection, and health in one word
        outside = await tab.value(
            "[...document.body.children].map((each) => each.tagName + '#' + each.id)"
        )
        assert outside == ["A#", "P#lost", "HEADER#", "MAIN#live"]
        tree = (await tab.ask("Accessibility.getFullAXTree"))["nodes"]
        named = [
            (node["role"]["value"], node["name"]["value"])
            for node in tree
            if node.get("name", {}).get("value")
        ]
        for name in ("Sensors", "Links", "Buffer", "Clock", "Ports", "Recent events"):
            assert ("region", name) in named
        assert any(role == "image" and name.startswith("last hour") for role, name in named)


async def test_without_scripts_it_is_a_page_that_reloads(room: Room, browser: str) -> None:
    async with serving(room) as server, open_tab(browser) as tab:
        await tab.ask("Emulation.setScriptExecutionDisabled", value=True)
        await tab.go(f"http://{server.address}/?lang=da")
        assert await tab.text(VALUE) == "7,3"
        refresh = "document.querySelector('meta[http-equiv=refresh]')?.content"
        assert await tab.value(refresh) == "10"
        assert not [each for each in tab.requests if "events" in each]


@pytest.mark.parametrize(
    ("size", "speaks"),
    [
        (PHONE, ("en", "light")),
        (PHONE, ("da", "dark")),
        (SCREEN, ("da", "light")),
        (SCREEN, ("en", "dark")),
    ],
)
async def test_it_can_be_read_in_the_sun_and_at_night(
    room: Room, browser: str, pictures: Path, size: tuple[int, int], speaks: tuple[str, str]
) -> None:
    language, scheme = speaks
    async with serving(many(room)) as server, open_tab(browser, size=size) as tab:
        an_hour(room, server)
        await tab.prefer(color_scheme=scheme)
        troubled(room)
        await tab.go(f"http://{server.address}/?lang={language}")
        await tab.value("for (const e of document.querySelectorAll('details')) e.open = true")
        await tab.until_text("link/vejle/pending", "1234")
        weak = [each for each in await tab.value(CONTRASTS) if each[0] < LEAST_CONTRAST]
        assert weak == []
        faint = [each for each in await tab.value(DRAWN) if each[0] < LEAST_DRAWN]
        assert faint == []
        black = "getComputedStyle(document.body).backgroundColor === 'rgb(0, 0, 0)'"
        assert await tab.value(black) == (scheme == "dark")
        assert await tab.value("document.documentElement.scrollWidth") <= size[0]
        assert await tab.value(SMALL_TARGETS) == []
        least = "Math.min(...[...document.querySelectorAll('main *')].map((e) => parseFloat("
        assert await tab.value(f"{least}getComputedStyle(e).fontSize)))") >= 15
        name = f"page-{'phone' if size == PHONE else 'screen'}-{language}-{scheme}.png"
        (pictures / name).write_bytes(await tab.picture())


@pytest.mark.parametrize("language", ["en", "da"])
async def test_nothing_needs_scrolling_sideways(
    room: Room, browser: str, pictures: Path, language: str
) -> None:
    """The narrowest phone, and names and errors as long as they may be."""
    long_name = "a-name-of-a-sensor-as-long-as-one-may-be-in-this-file-0123456789"
    many(troubled(room))
    room.sensors[long_name] = room.sensors.pop("air-square")
    room.links[long_name] = room.links.pop("vejle")
    room.readers[long_name] = room.readers.pop("vejle")
    room.links[long_name].last_error = "x" * 200
    room.ports[long_name] = room.ports.pop("air-roof")
    room.ports[
        "meter"
    ].last_error = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10KZ9QF-if00-port0"
    room.sensors["air-roof"].last_fault = "noise: " + "0123456789abcdef" * 10
    async with serving(room) as server, open_tab(browser, size=NARROW) as tab:
        await tab.go(f"http://{server.address}/?lang={language}")
        await tab.value("for (const e of document.querySelectorAll('details')) e.open = true")
        width = "document.documentElement.scrollWidth"
        outside = (
            "[...document.querySelectorAll('body *:not(.skip, .unseen, .unseen *)')]"
            ".filter((e) => e.getBoundingClientRect().right"
            " > e.parentElement.getBoundingClientRect().right + 0.5)"
            ".map((e) => e.outerHTML.slice(0, 200))"
        )
        (pictures / f"page-narrow-{language}.png").write_bytes(await tab.picture())
        assert await tab.value(outside) == []
        assert await tab.value(width) == NARROW[0]


async def test_nothing_moves(room: Room, browser: str) -> None:
    """Whether somebody asked for less motion or not."""
    async with serving(troubled(room)) as server, open_tab(browser) as tab:
        await tab.go(f"http://{server.address}/")
        assert await tab.value(MOVING) == 0
        await tab.prefer(reduced_motion="reduce")
        assert await tab.value("matchMedia('(prefers-reduced-motion: reduce)').matches")
        assert await tab.value(MOVING) == 0


async def test_priv_14_nothing_of_a_dwelling_reaches_the_browser(room: Room, browser: str) -> None:
    async with serving(room) as server, open_tab(browser) as tab:
        await tab.go(f"http://{server.address}/")
        await tab.until_text(VALUE, "7.3")
        html = await tab.value("document.documentElement.outerHTML")
        assert "4711" not in json.dumps(html)
        assert "Values of class P3 are not shown." in html
