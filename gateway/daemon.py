"""The daemon: wires sensors, ring and links together, and nothing else."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec

from gateway import __version__, logs
from gateway.assembly import Prepared, buffer_settings, format_context, prepare, recorder
from gateway.audit import (
    audit,
    audit_privacy,
    fingerprint,
    privacy_in_force,
)
from gateway.buffer import Buffer
from gateway.buffer.ring import COMPILED
from gateway.clock import Clock, Step
from gateway.clock_checks import ClockChecks
from gateway.config.diff import Changes, diff
from gateway.config.load import load
from gateway.config.model import BrokerSection, Configuration, HttpSection
from gateway.control import (
    PURGE,
    PURGE_SIGNAL,
    PurgeRequest,
    PurgeResult,
    ReloadResult,
    announce,
    take_purge,
    withdraw,
    write_purge,
    write_reload,
)
from gateway.errors import ConfigError, ConfigErrors
from gateway.forward.policy import may_know
from gateway.intake import Intake
from gateway.observe import (
    FlushWatch,
    LinkView,
    LoopLag,
    Notifier,
    Progress,
    Reloads,
    Standstill,
    StatusServer,
    View,
    Watchdog,
    document_summary,
    status_document,
    systemd_sockets,
)
from gateway.station import (
    BUS,
    CONNECTOR,
    LINK,
    RECORDING,
    SCANNER,
    SENSOR,
    LinkSide,
    SensorSide,
)
from gateway.supervisor import Supervisor
from gateway.timesync import watch_clock

__all__ = ["Daemon"]

P = ParamSpec("P")

LOGGER = logging.getLogger("citylab_gateway.daemon")

TICK_INTERVAL_S = 1.0
HTTP_RETRY_S = 10.0
LOOKUP_THREADS = 20
"""For what the system only offers blocking: name look-ups, certificates, the configuration file.

More than there can be links, so that sixteen names that cannot be looked up hold up nothing else.
"""
HTTP = "http"
STARTING = "starting: the drivers are not all started yet"
STOPPING = "stopping"


class Daemon:
    """One gateway from start to stop; ``run`` returns after SIGTERM or SIGINT."""

    def __init__(
        self,
        path: Path,
        configuration: Configuration,
        *,
        on_ready: Callable[[], object] = lambda: None,
    ) -> None:
        self._path = path
        self._configuration = configuration
        self._on_ready = on_ready
        self._clock = Clock(trusted=configuration.clock.trusted)
        self._started_ns = self._clock.now_ns()
        self._buffer: Buffer
        self._tasks: Supervisor
        self._sensors: SensorSide
        self._links: LinkSide
        self._http_token = ""
        self._http_tried = asyncio.Event()
        self._sockets = systemd_sockets()
        self._loop_lag = LoopLag()
        self._flush_watch = FlushWatch(self._clock.now_ns)
        self._clock_checks = ClockChecks()
        self._reloads = Reloads()
        self._standstill = Standstill()
        self._not_ready: tuple[str, ...] = (STARTING,)
        self._privacy: dict[str, str] = {}
        """What was told last of who gets what."""
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._purge = asyncio.Event()

    async def run(self) -> None:
        """Start everything, serve until told to stop, stop everything, with all flushed."""
        loop = asyncio.get_running_loop()
        lookups = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")
        loop.set_default_executor(lookups)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        loop.add_signal_handler(PURGE_SIGNAL, self._purge.set)
        configuration = self._configuration
        prepared = await self._prepare(
            configuration,
            [sensor.name for sensor in configuration.sensor],
            [broker.name for broker in configuration.broker],
        )
        self._buffer = await Buffer.open(buffer_settings(configuration), self._clock)
        self._buffer.on_flush = self._flush_watch.observe_flush
        runtime = configuration.buffer.runtime_directory
        await _leave_word(announce, runtime, self._path, requests=(PURGE,))
        try:
            with Notifier.from_environment() as notifier:
                async with Supervisor() as self._tasks:
                    await self._start(prepared, notifier)
                    await self._serve(notifier)
                    self._not_ready = (STOPPING,)
                    notifier.stopping()
                    await self._stop_all()
        finally:
            await self._buffer.close()
            await _leave_word(withdraw, runtime)
            for passed in self._sockets:
                passed.close()
            # asyncio waits for its executor at the end; nobody waits for a name server.
            lookups.shutdown(wait=False, cancel_futures=True)
            loop.set_default_executor(ThreadPoolExecutor(1))
        audit("stop", "stopped; everything is flushed")

    async def _start(self, prepared: Prepared, notifier: Notifier) -> None:
        self._sensors = SensorSide(
            Intake(self._buffer),
            self._clock,
            self._tasks,
            recorder(self._configuration, self._clock),
        )
        self._links = LinkSide(
            self._buffer,
            self._clock,
            self._tasks,
            self._status_for,
            self._configuration.buffer.directory,
        )
        progress = Progress()
        watchdog = Watchdog(
            notifier,
            lambda: progress(self.view()),
            lambda: progress.reason or document_summary(status_document(self.view())),
        )
        self._http_token = prepared.http_token
        self._tasks.start("buffer", self._buffer.run)
        self._tasks.start("clock", self._watch_clock)
        self._tasks.start("tick", self._tick)
        self._tasks.start("loop-lag", self._loop_lag.run)
        self._tasks.start("purge", self._take_purges)
        self._tasks.start("watchdog", watchdog.run)
        self._start_http()
        for section in self._configuration.broker:
            self._links.rename(section)
        for name in set(self._buffer.readers) - {each.name for each in self._configuration.broker}:
            self._links.forget(name)
        loop = asyncio.get_running_loop()
        identity = await loop.run_in_executor(None, format_context, self._configuration)
        for broker in prepared.brokers.values():  # a new one is owed what comes from here on
            self._links.add(broker, identity)
        for sensor in prepared.sensors.values():
            self._sensors.add(sensor)
        await self._sensors.scan(self._configuration.bluetooth)
        if self._configuration.http is not None:
            await self._http_tried.wait()
        self._not_ready = ()
        await self._audit_start()
        LOGGER.info(
            "citylab-gateway %s is ready: %d sensors, %d brokers, boot %d, epoch %d, ring %s",
            __version__,
            len(prepared.sensors),
            len(prepared.brokers),
            self._buffer.boot,
            self._buffer.epoch,
            "compiled" if COMPILED else "interpreted",
        )
        notifier.ready(document_summary(status_document(self.view())))
        self._on_ready()

    async def _audit_start(self) -> None:
        mark = fingerprint(self._configuration)
        audit("start", "started: version %s, configuration %s", __version__, mark)
        await self._audit_privacy()

    async def _audit_privacy(self) -> None:
        """Tell what has changed for people; it is asked of the drivers, whose files are read."""
        loop = asyncio.get_running_loop()
        now = await loop.run_in_executor(None, privacy_in_force, self._configuration)
        audit_privacy(self._privacy, now)
        self._privacy = now

    async def _serve(self, notifier: Notifier) -> None:
        """Apply reloads until told to stop."""
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            while not self._stop.is_set():
                reload = asyncio.ensure_future(self._reload.wait())
                await asyncio.wait((stop, reload), return_when=asyncio.FIRST_COMPLETED)
                reload.cancel()
                if self._reload.is_set() and not self._stop.is_set():
                    self._reload.clear()
                    notifier.reloading()
                    await self._apply_reload()
                    notifier.ready()
        finally:
            stop.cancel()

    async def _stop_all(self) -> None:
        """Stop the sensors first, so that the links and the last flush see all that came.

        Connections end while the scan that they rest on still runs, and the recording when nothing
        comes any more.
        """
        for prefix in (SENSOR, BUS, CONNECTOR, SCANNER, RECORDING, LINK):
            if prefix == LINK:  # what windows hold is to leave, too
                self._sensors.intake.close(self._clock.now_ns())
            names = [name for name in self._tasks.names if name.startswith(prefix)]
            await asyncio.gather(*map(self._tasks.stop, names))

    async def _tick(self) -> None:
        """Do once a second what time alone brings about."""
        while True:
            now_ns = self._clock.now_ns()
            self._sensors.intake.tick(now_ns)
            self._clock_checks.look(self._sensors.intake.stats, now_ns, self._clock.offset_ns)
            self._flush_watch.look(self._buffer.stats.unflushed_readings)
            logs.summarise()
            await asyncio.sleep(TICK_INTERVAL_S)

    async def _watch_clock(self) -> None:
        if self._clock.synced:
            self._clock_synced()
        await watch_clock(self._clock, self._clock_stepped, self._clock_synced)

    def _clock_stepped(self, step: Step) -> None:
        text = "clock step: the wall clock was set %s by %.3f s"
        change_s = step.change_ns / 1e9
        way = "back" if change_s < 0 else "forward"
        audit("clock-step", text, way, abs(change_s), level=logging.WARNING)
        self._buffer.note_clock()

    def _clock_synced(self) -> None:
        LOGGER.info("clock synced: it is right now, says %s", self._clock.sync_source)
        self._buffer.note_clock()

    def _status_for(self, section: BrokerSection) -> dict[str, Any]:
        """Return what one broker may know: its own sensors and its own link."""
        document = status_document(
            self.view(),
            choose=lambda name, sensor: may_know(section.select, name, sensor.privacy),
        )
        document["links"] = {section.name: document["links"][section.name]}
        return document

    def _start_http(self) -> None:
        section = self._configuration.http
        if section is not None:
            self._tasks.start(HTTP, partial(self._serve_http, section))
        elif self._sockets:
            LOGGER.warning("systemd listens for the status page, but [http] is not configured")

    async def _serve_http(self, section: HttpSection) -> None:
        """Serve until cancelled; without a page readings go on, and it is tried again."""
        told = ""
        while True:
            problem = ""
            try:
                async with StatusServer(
                    self.view,
                    listen=(section.host, section.port),
                    sockets=[passed.dup() for passed in self._sockets],
                    token=self._http_token,
                    leaving=self._links.leaving,
                ) as server:
                    LOGGER.info("status page and metrics: http://%s/", server.address)
                    self._http_tried.set()
                    await asyncio.Event().wait()
            except PermissionError:
                problem = f"may not listen on {section.listen}: enable citylab-gateway.socket"
            except OSError as error:
                problem = f"cannot listen on {section.listen}: {error.strerror}"
            except ConfigError as error:
                problem = str(error)
            if problem != told:
                LOGGER.warning("no status page and no metrics: %s", problem)
                told = problem
            self._http_tried.set()
            await asyncio.sleep(HTTP_RETRY_S)

    def view(self) -> View:
        """Return references to everything that metrics and status show."""
        scanner, connector = self._sensors.scanner, self._sensors.connector
        section = self._configuration.buffer
        return View(
            version=__version__,
            gateway=self._configuration.gateway.id,
            started_ns=self._started_ns,
            boot=self._buffer.boot,
            compiled=COMPILED,
            clock=self._clock,
            buffer=self._buffer.stats,
            flush_interval_s=max(section.flush_interval, section.flush_interval_max),
            hold_unsynced_s=self._configuration.clock.hold_unsynced,
            flush_watch=self._flush_watch,
            loop_lag=self._loop_lag,
            links={
                name: LinkView(link.stats, link.reader) for name, link in self._links.links.items()
            },
            sensors=self._sensors.intake.stats,
            told_times=self._sensors.intake.told_times,
            ports={name: transport.stats for name, transport in self._sensors.ports.items()},
            scanner=scanner.stats if scanner is not None else None,
            recorder=self._sensors.recorder,
            connections=connector.stats if connector is not None else None,
            task_restarts=self._tasks.restarts,
            reloads=self._reloads,
            driver_steps=self._sensors.steps,
            standstill=self._standstill,
            not_ready=self._not_ready,
            retention_s=section.retention.by_class(),
            sensor_retention_s=self._configuration.sensor_retention_s,
        )

    async def _take_purges(self) -> None:
        """Do what ``buffer purge`` asks for, for ever."""
        loop = asyncio.get_running_loop()
        runtime = self._configuration.buffer.runtime_directory
        while True:
            await self._purge.wait()
            self._purge.clear()
            try:
                request = await loop.run_in_executor(None, take_purge, runtime)
            except OSError as error:
                LOGGER.warning("a request to purge cannot be taken: %s", error)
                continue
            if request is not None:
                await _leave_word(write_purge, runtime, await self._do_purge(request))

    async def _do_purge(self, request: PurgeRequest) -> PurgeResult:
        """Remove the readings, and make the sensors ask for their series ids again."""
        try:
            removed = await self._buffer.purge(request.sensor)
            await self._sensors.forget_recorded()
        except OSError as error:
            LOGGER.warning("the purge that was asked for failed: %s", error)
            return PurgeResult(request.id, 0, str(error))
        self._sensors.intake.forget_series(request.sensor)
        whose = "all sensors" if request.sensor is None else f"sensor {request.sensor}"
        audit("purge", "purge: %d readings of %s were removed for ever", removed, whose)
        return PurgeResult(request.id, removed)

    async def _prepare(
        self, configuration: Configuration, sensors: Iterable[str], brokers: Iterable[str]
    ) -> Prepared:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, prepare, configuration, set(sensors), set(brokers))

    async def _apply_reload(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            new = await loop.run_in_executor(None, load, self._path)
            changes = diff(self._configuration, new)
            brokers = {*changes.brokers_added, *changes.brokers_changed}
            sensors = {*changes.sensors_added, *changes.sensors_changed}
            prepared = await self._prepare(new, sensors, brokers)
        except ConfigError as error:
            errors = error.errors if isinstance(error, ConfigErrors) else (error,)
            lines = [f"refused, the old configuration stays: {each}" for each in errors]
            self._reloads.failed += 1
            self._reloads.last_succeeded = False
            text = "reload refused: %d errors in the configuration"
            audit("reload-refused", text, len(errors), level=logging.WARNING)
        else:
            lines = await self._apply(changes, new, prepared)
            if changes:
                text, mark = "configuration changed to %s: %s", fingerprint(self._configuration)
                audit("configuration", text, mark, "; ".join(lines))
            await self._audit_privacy()
            self._reloads.succeeded += 1
            self._reloads.last_succeeded = True
        ok = self._reloads.last_succeeded
        for line in lines:
            LOGGER.log(logging.INFO if ok else logging.WARNING, "reload: %s", line)
        count = self._reloads.succeeded + self._reloads.failed
        runtime = self._configuration.buffer.runtime_directory
        await _leave_word(write_reload, runtime, ReloadResult(count, ok, tuple(lines)))

    async def _apply(self, changes: Changes, new: Configuration, prepared: Prepared) -> list[str]:
        """Stop what went or changed, start what came or changed; touch nothing else."""
        old = self._configuration
        kept = {section: getattr(old, section) for section in changes.restart}
        self._configuration = new.model_copy(update=kept)
        self._http_token = prepared.http_token
        self._buffer.limit_sensors(new.sensor_retention_s)
        for name in (*changes.sensors_removed, *changes.sensors_changed):
            await self._sensors.remove(name)
        for sensor in prepared.sensors.values():
            self._sensors.add(sensor)
        await self._sensors.scan(new.bluetooth, anew="bluetooth" in changes.sections)
        await self._apply_brokers(changes, prepared)
        if "http" in changes.sections:
            if old.http is not None:
                await self._tasks.stop(HTTP)
            self._start_http()
        if "log" in changes.sections:
            logs.set_level(new.log.level)
        try:
            await self._buffer.flush(cursors=True)
        except OSError as error:
            LOGGER.warning("the cursors cannot be stored now: %s", error.strerror)
        return _change_lines(changes) or ["nothing has changed"]

    async def _apply_brokers(self, changes: Changes, prepared: Prepared) -> None:
        loop = asyncio.get_running_loop()
        identity = await loop.run_in_executor(None, format_context, self._configuration)
        for name in {*changes.brokers_removed, *prepared.brokers} & self._links.links.keys():
            await self._links.remove(name)
        for broker in prepared.brokers.values():
            self._links.rename(broker.section)
        for name in set(changes.brokers_removed) & self._buffer.readers.keys():
            self._links.forget(name)
        self._links.update_context(identity)
        for broker in prepared.brokers.values():
            self._links.add(broker, identity)


async def _leave_word(write: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Write for ``reload`` and its like; a directory that cannot be used stops nothing."""
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, partial(write, *args, **kwargs))
    except OSError as error:
        LOGGER.warning("the reload command will not see this daemon: %s", error)


def _change_lines(changes: Changes) -> list[str]:
    lines = []
    for kind in ("sensors", "brokers"):
        for what in ("added", "removed", "changed"):
            names = getattr(changes, f"{kind}_{what}")
            if names:
                lines.append(f"{kind} {what}: {', '.join(names)}")
    if changes.sections:
        lines.append(f"applied: {', '.join(changes.sections)}")
    if changes.restart:
        lines.append(f"waits for a restart: {', '.join(changes.restart)}")
    return lines
