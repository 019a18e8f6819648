"""The status page: one file of HTML that works without scripts and is kept fresh by a few lines.

It is made for a phone in the sun: black on white, large, state in words and not by colour alone.
Everything that comes from outside is escaped; the policy allows this style and this script only.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["CONTENT_SECURITY_POLICY", "page"]

Document = Mapping[str, Any]

STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0 auto;max-width:46rem;padding:.75rem;font:1.15rem/1.35 system-ui,sans-serif;
color:#000;background:#fff}
h1{font-size:1.5rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:1.5rem 0 .25rem;border-bottom:3px solid #000}
h3{font-size:1.15rem;margin:0;overflow-wrap:anywhere}
section>article{border-bottom:1px solid #777;padding:.6rem 0}
p{margin:.2rem 0}
header p,.note{color:#222}
.row{display:flex;justify-content:space-between;gap:.75rem;align-items:baseline}
.state{font-weight:700;border:2px solid #000;border-radius:.4rem;padding:0 .5rem;white-space:nowrap}
.state.fresh,.state.online,.state.ok{background:#0a5c1f;border-color:#0a5c1f;color:#fff}
.state.stale,.state.degraded,.state.waiting,.state.connecting{background:#ffd000}
.state.silent,.state.failing,.state.refused,.state.stopped{background:#b00000;border-color:#b00000;
color:#fff}
dl{display:grid;grid-template-columns:1fr auto;gap:.1rem .75rem;margin:.3rem 0}
dd{margin:0;text-align:right;font-variant-numeric:tabular-nums;font-weight:700}
dt{overflow-wrap:anywhere}
progress{width:100%;height:1.4rem}
.wrong{font-weight:700;color:#900000;overflow-wrap:anywhere}
#lost{display:none;background:#b00000;color:#fff;font-weight:700;padding:.5rem}
body.lost #lost{display:block}
"""

# Each element with data-at takes the value at that path of status.json, shown as data-as says.
# Where a sensor, a series or a reason came or went, the page is loaded again as a whole.
SCRIPT = """
const age=s=>s<120?Math.round(s)+" s":s<7200?Math.round(s/60)+" min":
s<172800?Math.round(s/3600)+" h":Math.round(s/86400)+" d";
const show={age,ago:s=>s===null?"never":age(s)+" ago",count:n=>String(n),
number:n=>n===null?"withheld":String(Number(n.toPrecision(10))),
part:n=>(100*n).toFixed(1)+" %",text:t=>String(t)};
const shape=d=>JSON.stringify([d.boot,d.clock.synced,d.health.reasons.length,Object.keys(d.sensors),
Object.values(d.sensors).map(s=>[s.values.map(v=>[v.quantity,v.dims,v.aggregation,v.flags]),!s.error,
!s.last_fault]),Object.entries(d.links).map(([n,l])=>[n,!l.error]),!d.buffer.reason]);
let first=null;
async function refresh(){
try{
const answer=await fetch("status.json",{cache:"no-store",signal:AbortSignal.timeout(8000)});
if(!answer.ok)throw new Error(answer.status);
const d=await answer.json();
if(first===null)first=shape(d);
if(shape(d)!==first)return location.reload();
for(const e of document.querySelectorAll("[data-at]")){
const value=e.dataset.at.split("/").reduce((o,k)=>o[k],d);
if(e.tagName==="PROGRESS")e.value=value;
else{e.textContent=show[e.dataset.as](value);
if(e.classList.contains("state"))e.className="state "+value;}
}
document.body.classList.remove("lost");
}catch(error){document.body.classList.add("lost");}
setTimeout(refresh,3000);
}
setTimeout(refresh,3000);
"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

UNITS = {
    "1": "",
    "Cel": "°C",
    "ug/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "m3": "m³",
    "m3/h": "m³/h",
    "W/m2": "W/m²",
    "V.A": "VA",
    "kW.h": "kWh",
    "kV.A.h": "kVAh",
    "kvar.h": "kvarh",
    "[ppb]": "ppb",
    "[ppm]": "ppm",
    "dB[SPL]": "dB",
    "dB[mW]": "dBm",
    "deg": "°",
}
"""UCUM codes that people write otherwise; braces of counted things are taken off."""


def page(document: Document) -> bytes:
    """Return the page for one ``live_document``."""
    health, clock = document["health"], document["clock"]
    sensors, links, buffer = document["sensors"], document["links"], document["buffer"]
    title = escape(document["gateway"])
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<noscript><meta http-equiv="refresh" content="10"></noscript>',
        '<link rel="icon" href="data:,">',
        f"<title>{title}</title><style>{STYLE}</style></head><body>",
        '<p id="lost" role="alert">No answer from the gateway; what stands here is old.</p>',
        f'<header><div class="row"><h1>{title}</h1>{_state("health/state", health["state"])}</div>',
        f"<p>up {_at('uptime_s', 'age', document['uptime_s'])} · boot {document['boot']}",
        f" · clock {'right' if clock['synced'] else 'not yet set'}",
        f" · version {escape(document['software']['version'])}</p>",
        *(_wrong(f"health/reasons/{at}", text) for at, text in enumerate(health["reasons"])),
        "</header><main><section><h2>Sensors</h2>",
        *(_sensor(name, sensor) for name, sensor in sensors.items()),
        "" if sensors else "<p>none configured</p>",
        "</section><section><h2>Links</h2>",
        *(_link(name, link) for name, link in links.items()),
        "" if links else "<p>none configured</p>",
        "</section><section><h2>Buffer</h2>",
        *_buffer(buffer),
        "</section></main>",
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "".join(parts).encode()


def _sensor(name: str, sensor: Document) -> str:
    at = f"sensors/{name}"
    values = "".join(
        f"<dt>{escape(_series(value))}</dt><dd>"
        f"{_at(f'{at}/values/{index}/value', 'number', value['value'])} "
        f"{escape(_unit(value['unit']))}</dd>"
        for index, value in enumerate(sensor["values"])
    )
    doubts = sorted({flag for value in sensor["values"] for flag in value["flags"]})
    return (
        f'<article><div class="row"><h3>{escape(name)}</h3>'
        f"{_state(f'{at}/state', sensor['state'])}</div>"
        f'<p class="note">{escape(sensor["driver"])} · last reading '
        f"{_at(f'{at}/age_s', 'ago', sensor['age_s'])} · "
        f"{_at(f'{at}/readings', 'count', sensor['readings'])} readings, "
        f"{_at(f'{at}/faults', 'count', sensor['faults'])} faults</p>"
        + (f"<dl>{values}</dl>" if values else "")
        + (f'<p class="note">flags: {escape(", ".join(doubts))}</p>' if doubts else "")
        + "".join(_wrong(f"{at}/{key}", sensor[key]) for key in ("error", "last_fault"))
        + "</article>"
    )


def _link(name: str, link: Document) -> str:
    at = f"links/{name}"
    return (
        f'<article><div class="row"><h3>{escape(name)}</h3>'
        f"{_state(f'{at}/state', link['state'])}</div>"
        f'<p class="note">{_at(f"{at}/pending", "count", link["pending"])} pending · '
        f"{_at(f'{at}/acknowledged', 'count', link['acknowledged'])} acknowledged</p>"
        + _wrong(f"{at}/error", link["error"])
        + "</article>"
    )


def _buffer(buffer: Document) -> Iterator[str]:
    used = buffer["used"]
    yield (
        f"<p>{_at('buffer/used', 'part', used)} of {buffer['size_bytes'] / 2**20:.0f} MiB used</p>"
        f'<progress data-at="buffer/used" max="1" value="{used}"></progress>'
        f'<p class="note">{_at("buffer/readings", "count", buffer["readings"])} readings kept · '
        f"{_at('buffer/unflushed', 'count', buffer['unflushed'])} not yet on disk</p>"
    )
    yield _wrong("buffer/reason", buffer["reason"])


def _wrong(at: str, text: str) -> str:
    return f'<p class="wrong">{_at(at, "text", text)}</p>' if text else ""


def _state(at: str, state: str) -> str:
    text = escape(state)
    return f'<span class="state {text}" data-at="{escape(at)}" data-as="text">{text}</span>'


def _at(at: str, kind: str, value: Any) -> str:
    """Return a value that the script keeps fresh; ``_SHOW`` must say what the script says."""
    return f'<span data-at="{escape(at)}" data-as="{kind}">{escape(_SHOW[kind](value))}</span>'


def _age(seconds: float) -> str:
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{_age(seconds)} ago"


def _number(value: float | None) -> str:
    return "withheld" if value is None else f"{value:.10g}"


_SHOW: Mapping[str, Callable[[Any], str]] = {
    "age": _age,
    "ago": _ago,
    "number": _number,
    "count": str,
    "part": lambda value: f"{100 * value:.1f} %",
    "text": str,
}


def _series(value: Document) -> str:
    dims = ", ".join(f"{key} {text}" for key, text in value["dims"].items())
    aggregation = "" if value["aggregation"] == "instant" else f" ({value['aggregation']})"
    return str(value["quantity"]) + (f" [{dims}]" if dims else "") + aggregation


def _unit(ucum: str) -> str:
    return UNITS.get(ucum, ucum.replace("{", "").replace("}", ""))
