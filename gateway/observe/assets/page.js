// Keeps the page fresh: the server tells which cells changed, or sends what is in main anew.
"use strict";
(() => {
  const QUIET_MS = 9000; // the server says something every two seconds
  const AGAIN_MS = 3000;
  const root = document.documentElement;
  const live = document.getElementById("live");
  const lost = document.getElementById("lost");
  let source = null;
  let timer = 0;

  function connected(yes) {
    const text = yes ? "" : lost.dataset.text;
    if (lost.textContent !== text) lost.textContent = text; // it is read out: not without need
    document.body.classList.toggle("lost", !yes);
  }

  function put(cells) {
    for (const [id, cell] of Object.entries(cells)) {
      const element = document.getElementById(id);
      if (element === null) continue;
      for (const [name, text] of Object.entries(cell)) {
        if (name === "") element.textContent = text;
        else element.setAttribute(name, text);
      }
    }
  }

  // What a person opened stays open, and the focus stays where it was.
  function replace(parts) {
    const open = [...live.querySelectorAll("details[open]")].map((each) => each.id);
    const focused = document.activeElement;
    const holder = focused && live.contains(focused) ? focused.closest("[id]") : null;
    for (const [id, html] of Object.entries(parts)) document.getElementById(id).innerHTML = html;
    for (const id of open) {
      const element = document.getElementById(id);
      if (element !== null) element.open = true;
    }
    if (holder === null) return;
    const again = document.getElementById(holder.id);
    if (again === null) return;
    (again.matches("details") ? again.firstElementChild : again).focus({ preventScroll: true });
  }

  function heard() {
    connected(true);
    clearTimeout(timer);
    timer = setTimeout(() => { connected(false); connect(); }, QUIET_MS);
  }

  function connect() {
    disconnect();
    source = new EventSource("events?lang=" + root.lang);
    source.addEventListener("page", (event) => {
      const told = JSON.parse(event.data);
      replace(told.parts);
      put(told.cells);
      heard();
    });
    source.addEventListener("cells", (event) => { put(JSON.parse(event.data)); heard(); });
    source.onerror = () => {
      connected(false);
      // While the browser tries again by itself, the timer is only for a try that hangs.
      clearTimeout(timer);
      timer = setTimeout(connect, source.readyState === EventSource.CLOSED ? AGAIN_MS : QUIET_MS);
    };
    clearTimeout(timer);
    timer = setTimeout(() => { connected(false); connect(); }, QUIET_MS);
  }

  function disconnect() {
    clearTimeout(timer);
    if (source !== null) source.close();
    source = null;
  }

  // A page that nobody sees leaves its place to others.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  if (!document.hidden) connect();
})();
