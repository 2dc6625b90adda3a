// Comforts of the pages Search, Live and SQL; every page works without them.
"use strict";

const parsed = (text) => new DOMParser().parseFromString(text, "text/html");
const fetched = async (address) => {
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
  return parsed(await answer.text());
};

// Dragging over the histogram asks for that stretch of time.
for (const drawing of document.querySelectorAll("svg[data-step]")) {
  const first = Number(drawing.dataset.from);
  const step = Number(drawing.dataset.step);
  const bars = Number(drawing.dataset.bars);
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  mark.setAttribute("class", "zoom-mark");
  mark.setAttribute("y", "0");
  mark.setAttribute("height", "100");
  let start = null;
  let dragged = false;
  const bar = (event) => {
    const box = drawing.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return Math.max(0, Math.min(bars, share * bars));
  };
  const stretch = (event) => [Math.min(start, bar(event)), Math.max(start, bar(event))];
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = bar(event);
    dragged = false;
  });
  drawing.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [from, to] = stretch(event);
    if (!dragged && (to - from) * (drawing.getBoundingClientRect().width / bars) < 5) return;
    if (!dragged) {
      dragged = true;
      drawing.setPointerCapture(event.pointerId);
      drawing.append(mark);
    }
    mark.setAttribute("x", String(from * 10));
    mark.setAttribute("width", String((to - from) * 10));
  });
  const end = (event) => {
    if (start === null) return;
    const [from, to] = stretch(event);
    start = null;
    mark.remove();
    if (!dragged || event.type === "pointercancel") return;
    const at = (place) => new Date(first + place * step).toISOString();
    const address = new URL(location.href);
    address.searchParams.set("from", at(Math.floor(from)));
    address.searchParams.set("to", at(Math.ceil(to)));
    address.searchParams.delete("page");
    location.assign(address);
  };
  drawing.addEventListener("pointerup", end);
  drawing.addEventListener("pointercancel", end);
  // A drag is no click on the bar that it ends over; nor does it drag the link.
  drawing.addEventListener("click", (event) => { if (dragged) event.preventDefault(); }, true);
  drawing.addEventListener("dragstart", (event) => event.preventDefault());
}

// Suggestions under the query: arrows choose, Enter or Tab takes, Escape closes.
for (const box of document.querySelectorAll("[data-complete]")) {
  const input = box.querySelector("input");
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = "suggestions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  list.hidden = true;
  box.append(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  let chosen = -1;
  let waiting = 0;
  let turn = 0;
  const close = () => {
    list.hidden = true;
    chosen = -1;
    turn += 1;
    clearTimeout(waiting);
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (place) => {
    const items = [...list.children];
    chosen = (place + items.length) % items.length;
    items.forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
    items[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", items[chosen].id);
  };
  const take = (item) => {
    input.value = item.dataset.q;
    input.focus();
    close();
    if (item.dataset.kind === "field") look();
  };
  const show = (found) => {
    list.replaceChildren(...found.map((one, at) => {
      const item = document.createElement("li");
      item.id = `suggestion-${at}`;
      item.dataset.q = one.q;
      item.dataset.kind = one.kind;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      const text = document.createElement("span");
      text.textContent = one.text;
      const kind = document.createElement("span");
      kind.className = "faint";
      kind.textContent = one.kind;
      item.append(text, kind);
      return item;
    }));
    chosen = -1;
    list.hidden = found.length === 0;
    input.setAttribute("aria-expanded", String(found.length > 0));
  };
  const look = async () => {
    // Only the end of the question is completed.
    if (input.selectionStart !== input.value.length) return close();
    const mine = ++turn;
    const address = new URL(box.dataset.complete, location.href);
    for (const [name, value] of new FormData(input.form)) {
      if (["table", "from", "to"].includes(name)) address.searchParams.set(name, value);
    }
    address.searchParams.set("q", input.value);
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" } });
      const found = answer.ok ? await answer.json() : [];
      if (mine === turn && document.activeElement === input) show(found);
    } catch {
      close();
    }
  };
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 180);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && list.hidden) {
      event.preventDefault();
      look();
    } else if (list.hidden) {
      return;
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1));
    } else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) {
      event.preventDefault();
      take(list.children[chosen]);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (event.key === "Enter") {
      close();
    }
  });
  input.addEventListener("blur", () => setTimeout(close, 120));
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) take(item);
  });
}

// Looks again by itself, unless nobody looks or somebody reads an open hit.
const again = document.querySelector("[data-refresh]");
if (again) {
  const look = async () => {
    const main = document.querySelector("[data-refresh]");
    if (!document.hidden && !main.querySelector("details.hit[open]") && !getSelection().toString()) {
      try {
        const page = await fetched(location.href);
        const fresh = page.querySelector("[data-refresh]");
        if (!fresh) throw new Error("no hits");
        main.replaceChildren(...document.adoptNode(fresh).childNodes);
      } catch {
        location.reload();
        return;
      }
    }
    setTimeout(look, Number(again.dataset.refresh) * 1000);
  };
  setTimeout(look, Number(again.dataset.refresh) * 1000);
}

// Live: asks for the rows behind the last one.
const tail = document.querySelector("[data-tail]");
if (tail) {
  const state = document.querySelector("#tail-state");
  const button = document.querySelector("[data-pause]");
  const kept = 500;
  let paused = false;
  let missed = false;
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    state.textContent = paused ? "Paused." : "Looking every 2 seconds.";
  });
  const look = async () => {
    if (!paused && !document.hidden) {
      try {
        const address = new URL(tail.dataset.tail, location.href);
        address.searchParams.set("after", tail.querySelector(".stretch").dataset.after);
        const page = await fetched(address);
        const fresh = document.adoptNode(page.querySelector(".stretch"));
        missed ||= fresh.hasAttribute("data-full");
        const rows = fresh.querySelectorAll(".hit").length;
        if (rows > 0) {
          fresh.classList.add("fresh");
          tail.prepend(fresh);
          [...tail.querySelectorAll(".hit")].slice(kept).forEach((row) => row.remove());
          tail.querySelectorAll(".stretch:not(:first-child)").forEach((old) => { if (!old.children.length) old.remove(); });
        }
        const time = new Date().toISOString().slice(11, 19);
        state.textContent = missed
          ? `More rows arrive than can be shown; these are some. Last look ${time} UTC.`
          : `Last look ${time} UTC.`;
      } catch (error) {
        paused = true;
        button.textContent = "Go on";
        state.textContent = error.message === "429"
          ? "Your quota is used up or the server is busy. Paused."
          : "The last look failed: you may have been logged out, or may not read this any more. Paused.";
      }
    }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
}

// SQL: Ctrl and Enter run the statement; a name goes where the cursor stands.
const statement = document.querySelector("[data-run]");
if (statement) {
  statement.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      statement.form.requestSubmit();
    }
  });
  document.addEventListener("click", (event) => {
    const name = event.target.closest("[data-insert]");
    if (!name) return;
    event.preventDefault();
    const { selectionStart: from, selectionEnd: to, value } = statement;
    const blank = from > 0 && !/[\s(.,]$/.test(value.slice(0, from)) ? " " : "";
    statement.setRangeText(blank + name.dataset.insert, from, to, "end");
    statement.focus();
  });
}
