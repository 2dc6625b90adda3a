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
