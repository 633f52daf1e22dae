"use strict";
// Every two seconds the page is fetched again, and only what differs is touched: the reader's
// scroll position, focus and selection stay.
const EVERY_MS = 2000;
const PATIENCE_MS = 5000;

function sync(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (!(old instanceof Element)) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // The reader has opened the list; the server does not know of it.
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const nodes = [...fresh.childNodes];
  nodes.forEach((node, i) => {
    // A row has an id, and keeps its element wherever it moves. Other nodes match by position.
    const place = old.childNodes[i] ?? null;
    const known = node.id ? document.getElementById(node.id) : place?.id ? null : place;
    if (known !== place) old.insertBefore(known ?? node, place);
    if (known) sync(known, node);
    else if (!place) old.append(node);
  });
  while (old.childNodes.length > nodes.length) old.lastChild.remove();
}

async function refresh() {
  const lost = document.getElementById("lost");
  const icon = document.querySelector("link[rel=icon]");
  try {
    const answer = await fetch(location.href, {
      headers: { Accept: "text/html" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = fresh.title;
    sync(icon, fresh.querySelector("link[rel=icon]"));
    sync(document.getElementById("page"), fresh.getElementById("page"));
    lost.hidden = true;
  } catch {
    if (lost.hidden) document.title = `no answer · ${document.title}`;
    icon.href = icon.href.replace(/%23\w{6}/, "%23888888");
    document.getElementById("page").className = "old";
    lost.hidden = false;
  }
}

async function again() {
  if (!document.hidden) await refresh();
  setTimeout(again, EVERY_MS);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh());
setTimeout(again, EVERY_MS);
