"""The status page of the real daemon in a real browser: a broker dies, the daemon restarts."""

from pathlib import Path

import pytest

from tests.brokers import Mosquitto
from tests.browser.chromium import PHONE, open_tab
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, dust_frame

pytestmark = [pytest.mark.browser, pytest.mark.mosquitto, pytest.mark.timeout(90)]

PM25 = "value/air/1/now"


async def test_a_killed_broker_turns_its_row_and_a_restart_is_got_over(
    tmp_path: Path, browser: str, pictures: Path
) -> None:
    row = "document.getElementById('link/aarhus').dataset.state"
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus", mosquitto.port, 'format = "json"'
        )
        gateway = GatewayProcess(tmp_path, sections)
        with HeldLine(tmp_path / "tty-air") as line:
            async with gateway.by_hand(), open_tab(browser, size=PHONE) as tab:
                await gateway.start()
                await gateway.until_metric("port_open", 1)
                await line.write(dust_frame(125, 200))
                await gateway.until_metric("sensor_readings_total", 2)
                await tab.go(f"http://127.0.0.1:{gateway.http_port}/")
                await tab.until_text(PM25, "12.5")
                await line.write(dust_frame(315, 400))
                await tab.until_text(PM25, "31.5")
                await tab.until(f"{row} === 'online'")
                await tab.until("document.body.textContent.includes('is ready')")
                await tab.until("document.body.textContent.includes('aarhus: link up')")
                assert "air: air.pm10, air.pm25" in await tab.text("leaves/aarhus")

                await mosquitto.kill()
                await tab.until(f"['waiting', 'connecting'].includes({row})")
                await tab.until_text("link/aarhus/cause", "refused")
                (pictures / "broker-away.png").write_bytes(await tab.picture(whole=False))
                await mosquitto.start()
                await tab.until(f"{row} === 'online'")

                await gateway.kill()
                await tab.until_text("lost", "No connection")
                (pictures / "daemon-away.png").write_bytes(await tab.picture(whole=False))
                await gateway.start()
                await gateway.until_metric("port_open", 1)
                await line.write(dust_frame(75, 90))
                await tab.until_text(PM25, "7.5")
                assert await tab.text("lost") == ""
                asked = {each.split("/")[2] for each in tab.requests if "data:" not in each}
                assert asked == {f"127.0.0.1:{gateway.http_port}"}
