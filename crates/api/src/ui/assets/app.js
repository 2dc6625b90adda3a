// Small comforts; every page works without them.
"use strict";

const remember = (name, value) => {
  try { sessionStorage.setItem(name, value); } catch { /* No storage: nothing is remembered. */ }
};
const remembered = (name) => {
  try { return sessionStorage.getItem(name); } catch { return null; }
};

// "/" goes to the query.
document.addEventListener("keydown", (event) => {
  const box = document.querySelector("[data-focus]");
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && box && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    box.focus();
    box.select();
  }
  if (event.key === "Escape") {
    for (const open of document.querySelectorAll("details[data-popover][open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  }
});

// A popover closes when something else is clicked.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details[data-popover][open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

// A select that is a question by itself is asked at once.
document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
});

// Copies the code beside the button.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

// The values of a field appear under it, without the whole page again.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-values]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  const item = link.closest(".field-item");
  const shown = item.querySelector(".values");
  const address = new URL(location.href);
  if (shown) {
    shown.remove();
    link.setAttribute("aria-expanded", "false");
    address.searchParams.delete("field");
    history.replaceState(null, "", address);
    return;
  }
  address.searchParams.set("field", link.dataset.values);
  const asked = new URL(address);
  asked.pathname = "/_ui/search/values";
  try {
    const answer = await fetch(asked, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) throw new Error("no values");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const values = page.querySelector(".values");
    for (const other of document.querySelectorAll(".field-item .values")) {
      other.closest(".field-item").querySelector("a[data-values]").setAttribute("aria-expanded", "false");
      other.remove();
    }
    item.append(document.adoptNode(values));
    link.setAttribute("aria-expanded", "true");
    history.replaceState(null, "", address);
  } catch {
    location.assign(link.href);
  }
});

// On small screens the list of fields begins closed.
const fold = document.querySelector(".fields-fold");
if (fold) {
  const isSmall = matchMedia("(max-width: 860px)").matches;
  const wanted = remembered("fields");
  fold.open = wanted === null ? !isSmall : wanted === "open";
  fold.addEventListener("toggle", () => remember("fields", fold.open ? "open" : "closed"));
}

// Copies the address of the page, which says all that it shows, or that of the button.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-link]");
  if (!button) return;
  const address = new URL(button.dataset.copyLink || location.href, location.href);
  for (const name of ["edit", "done"]) address.searchParams.delete(name);
  const label = button.lastChild;
  const text = label.textContent;
  try {
    await navigator.clipboard.writeText(address.href);
    label.textContent = "Copied";
  } catch {
    prompt("The link to this page", address.href);
  }
  setTimeout(() => { label.textContent = text; }, 1600);
});

// A panel that takes too long is not waited for: the server stops working on it, too.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-cancel]");
  if (!button) return;
  const panel = button.closest("[hx-get]");
  htmx.trigger(panel, "htmx:abort");
  panel.replaceChildren(state("Cancelled.", "Load the page again to ask again."));
});

function state(title, next) {
  const box = document.createElement("div");
  box.className = "panel-state";
  for (const [text, kind] of [[title, ""], [next, "hint"]]) {
    const line = document.createElement("p");
    line.textContent = text;
    line.className = kind;
    box.append(line);
  }
  return box;
}

// What did not come says so.
for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    const panel = event.detail.elt;
    if (!panel.matches(".panel-body, .card-body")) return;
    const status = event.detail.xhr?.status;
    // Whoever is logged out gets the login page instead of a panel.
    panel.replaceChildren(status === 401
      ? state("You are logged out.", "Load the page again to log in.")
      : state("The server did not answer.", "Load the page again."));
  });
}

// A page that takes its time shows that it is asked for, and can be stopped: the server stops, too.
let waiting = null;
const stopWaiting = () => {
  clearTimeout(waiting);
  document.querySelector(".progress")?.remove();
};
const waitFor = () => {
  stopWaiting();
  waiting = setTimeout(() => {
    const bar = document.createElement("div");
    bar.className = "progress";
    bar.setAttribute("role", "status");
    const text = document.createElement("span");
    text.textContent = "Asking…";
    const stop = document.createElement("button");
    stop.type = "button";
    stop.className = "button small";
    stop.textContent = "Stop";
    stop.addEventListener("click", () => {
      window.stop();
      stopWaiting();
    });
    bar.append(text, stop);
    document.body.append(bar);
  }, 500);
};
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const isOther = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0 || event.defaultPrevented;
  if (!link || isOther || link.hasAttribute("download") || link.target) return;
  if (link.origin === location.origin && link.pathname + link.search !== location.pathname + location.search) waitFor();
});
document.addEventListener("submit", (event) => { if (!event.defaultPrevented) waitFor(); });
addEventListener("pageshow", stopWaiting);
