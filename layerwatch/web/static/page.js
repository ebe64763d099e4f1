// Keeps the page as it is now: asks for it again while somebody looks, and changes in place what has changed, so that
// scrolling, focus and pictures stay. Without it the page is complete, and a plain refresh does.
"use strict";

const EVERY_MS = 2000;
const PATIENCE_MS = 10000;
const banner = document.getElementById("connection");
const place = location.pathname + location.search;
let seen = new Date();
let timer = 0;
let asking = false;

async function refresh() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  const began = performance.now();
  try {
    const answer = await fetch(place, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.getElementById("summary")) throw new Error(`it answered with ${answer.status}`);
    show(fresh);
  } catch (error) {
    tellThatNobodyAnswers(error);
  } finally {
    asking = false;
    // A large ledger, or a slow line: nine tenths of the time are left to others.
    timer = setTimeout(refresh, Math.max(EVERY_MS, 10 * (performance.now() - began)));
  }
}

function show(fresh) {
  seen = new Date();
  banner.hidden = true;
  document.title = fresh.title;
  for (const id of ["places", "daemon", "main"]) become(document.getElementById(id), fresh.getElementById(id));
}

function tellThatNobodyAnswers(error) {
  const at = seen.toLocaleTimeString();
  const why = error.message.startsWith("it answered") ? `: ${error.message}` : ", or cannot be reached";
  const text = `layerwatch no longer answers${why}. What you see is from ${at}.`;
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = false;
  if (!document.title.startsWith("no answer")) document.title = `no answer - ${document.title}`;
}

// --- one tree becomes like another, and keeps what is the same in both ---

function become(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  becomeInside(old, fresh);
}

function becomeInside(old, fresh) {
  const kept = new Set([...fresh.children].map((each) => each.id));
  for (const each of [...old.children]) if (each.id && !kept.has(each.id)) each.remove();
  const known = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const same = wanted.id ? known.get(wanted.id) : isLike(at, wanted) ? at : null;
    if (!same) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    become(same, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function isLike(old, fresh) {
  return old !== null && old.nodeName === fresh.nodeName && !old.id;
}

document.addEventListener("visibilitychange", refresh);
timer = setTimeout(refresh, EVERY_MS);
