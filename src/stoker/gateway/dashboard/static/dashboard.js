// Keeps the numbers fresh and copies the setting. The page is whole without it.
"use strict";

const EVERY_MS = 5000;

/** Makes `old` equal to `fresh` and leaves alone what is equal, so that focus, selection and opened details stay. */
function update(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const isText = old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE;
  if (isText) {
    old.data = fresh.data;
    return;
  }
  if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  updateChildren(old, fresh);
}

function updateChildren(old, fresh) {
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((child, index) => (index < before.length ? update(before[index], child) : old.append(child)));
  for (const surplus of before.slice(after.length)) surplus.remove();
}

async function refresh() {
  const answer = await fetch("/ui/live", { headers: { Accept: "application/json" }, cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) return location.assign("/ui");
  if (!answer.ok) throw new Error(String(answer.status));
  const { parts } = await answer.json();
  for (const place of document.querySelectorAll("[data-part]")) {
    // Text that was escaped by the gateway; a parsed document runs no script.
    const fresh = new DOMParser().parseFromString(parts[place.dataset.part], "text/html");
    updateChildren(place, fresh.body);
  }
}

let timer;

async function keepFresh() {
  clearTimeout(timer);
  if (document.hidden) return;
  const stale = document.getElementById("stale");
  try {
    await refresh();
    stale.hidden = true;
    document.getElementById("stale-at").textContent = `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`;
  } catch {
    stale.hidden = false;
  }
  timer = setTimeout(keepFresh, EVERY_MS);
}

/** Copies the setting. Where the page may not write to the clipboard (plain http), it selects it. */
async function copy() {
  const setting = document.getElementById("setting");
  const button = document.getElementById("copy");
  const text = button.textContent;
  getSelection().selectAllChildren(setting);
  try {
    await navigator.clipboard.writeText(setting.textContent);
    button.textContent = button.dataset.copied;
  } catch {
    button.textContent = document.execCommand("copy") ? button.dataset.copied : button.dataset.select;
  }
  document.getElementById("copy-result").textContent = button.textContent;
  setTimeout(() => {
    button.textContent = text;
    document.getElementById("copy-result").textContent = "";
  }, 2000);
}

document.getElementById("copy").hidden = false;
document.getElementById("copy").addEventListener("click", copy);
document.addEventListener("visibilitychange", keepFresh);
timer = setTimeout(keepFresh, EVERY_MS);
