"use strict";
(() => {
  const svg = document.querySelector(".stage svg");
  const stage = document.querySelector(".stage");
  const panel = document.querySelector("aside");
  const search = document.querySelector("input");
  const told = JSON.parse(document.getElementById("told").textContent);
  const whole = svg.viewBox.baseVal;
  const size = { width: whole.width, height: whole.height };
  const nodes = new Map();
  const edges = [];
  const view = { x: 0, y: 0, scale: 1 };
  const pointers = new Map();
  const onward = { out: new Map(), in: new Map() };
  let moved = 0;
  let chosen = null;

  document.body.classList.add("live");
  document.querySelector(".tools").hidden = false;
  svg.setAttribute("role", "group");
  svg.removeAttribute("width");
  svg.removeAttribute("height");

  // -- what is there ------------------------------------------------------------------------------------------

  for (const element of svg.querySelectorAll("[data-node]")) {
    const id = element.getAttribute("data-node");
    nodes.set(id, element);
    onward.out.set(id, []);
    onward.in.set(id, []);
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", told[id].title + ", " + told[id].kind);
    element.addEventListener("pointerenter", () => light(id));
    element.addEventListener("pointerleave", () => light(null));
    element.addEventListener("focus", () => { light(id); reveal(id); });
    element.addEventListener("blur", () => light(null));
    element.addEventListener("click", () => { if (moved < 5) choose(id); });
  }
  for (const element of svg.querySelectorAll("[data-edge]")) {
    const [source, target] = element.getAttribute("data-edge").split(">");
    edges.push({ element, source, target });
    onward.out.get(source).push(target);
    onward.in.get(target).push(source);
  }

  // -- following ways -----------------------------------------------------------------------------------------

  function reached(id, ways) {
    const found = new Set([id]);
    const open = [id];
    while (open.length) {
      for (const each of ways.get(open.pop())) {
        if (!found.has(each)) { found.add(each); open.push(each); }
      }
    }
    return found;
  }

  function light(id) {
    svg.classList.toggle("dim", id !== null);
    const before = id === null ? new Set() : reached(id, onward.in);
    const after = id === null ? new Set() : reached(id, onward.out);
    for (const [each, element] of nodes) {
      element.classList.toggle("st-lit", before.has(each) || after.has(each));
    }
    for (const { element, source, target } of edges) {
      const lit = (before.has(source) && before.has(target)) || (after.has(source) && after.has(target));
      element.classList.toggle("st-lit", lit);
    }
  }

  // -- telling ------------------------------------------------------------------------------------------------

  function add(parent, name, text, kind) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    parent.append(element);
    return element;
  }

  function list(title, lines, make) {
    if (!lines.length) return;
    add(panel, "h3", title);
    const items = add(panel, "ul");
    for (const line of lines) make(add(items, "li"), line);
  }

  function choose(id) {
    if (chosen !== null) nodes.get(chosen).classList.remove("st-chosen");
    const from = chosen;
    chosen = id;
    panel.hidden = id === null;
    panel.textContent = "";
    if (id === null) {
      if (from !== null) nodes.get(from).focus({ preventScroll: true });
      return;
    }
    const what = told[id];
    nodes.get(id).classList.add("st-chosen");
    const close = add(panel, "button", "×", "close");
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => choose(null));
    add(panel, "h2", what.title);
    add(panel, "p", what.place ? what.kind + ", " + what.place : what.kind, "kind");
    if (what.doc) add(panel, "p", what.doc);
    const plain = (item, line) => add(item, "code", line);
    const link = (item, other) =>
      add(item, "button", told[other].title).addEventListener("click", () => {
        choose(other);
        reveal(other);
      });
    list("Fields", what.fields, plain);
    list("Settings", what.notes, plain);
    list("From", [...new Set(onward.in.get(id))], link);
    list("To", [...new Set(onward.out.get(id))], link);
    reveal(id);
  }

  // -- looking ------------------------------------------------------------------------------------------------

  function show() {
    const box = stage.getBoundingClientRect();
    svg.setAttribute("viewBox", [view.x, view.y, box.width / view.scale, box.height / view.scale].join(" "));
  }

  function fit(least) {
    const box = stage.getBoundingClientRect();
    const fits = Math.min(box.width / size.width, box.height / size.height, 1.3);
    view.scale = Math.max(fits, least);
    view.x = size.width / 2 - box.width / view.scale / 2;
    view.y = Math.min(0, size.height / 2 - box.height / view.scale / 2);
    show();
  }

  function zoom(by, x, y) {
    const box = stage.getBoundingClientRect();
    const [dx, dy] = [(x ?? box.left + box.width / 2) - box.left, (y ?? box.top + box.height / 2) - box.top];
    const scale = Math.min(6, Math.max(0.05, view.scale * by));
    view.x += dx / view.scale - dx / scale;
    view.y += dy / view.scale - dy / scale;
    view.scale = scale;
    show();
  }

  function pan(dx, dy) {
    view.x -= dx / view.scale;
    view.y -= dy / view.scale;
    show();
  }

  function reveal(id) {
    const box = stage.getBoundingClientRect();
    const covers = getComputedStyle(panel).position === "absolute" && !panel.hidden;
    const bottom = covers ? panel.getBoundingClientRect().top : box.bottom;
    const node = nodes.get(id).getBoundingClientRect();
    const inside = node.left >= box.left && node.right <= box.right && node.top >= box.top && node.bottom <= bottom;
    if (inside) return;
    pan((box.left + box.right - node.left - node.right) / 2, (box.top + bottom - node.top - node.bottom) / 2);
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX, event.clientY);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    moved = 0;
    pointers.set(event.pointerId, event);
  });
  addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
    moved += Math.abs(dx) + Math.abs(dy);
    stage.classList.toggle("held", moved >= 5);
    if (pointers.size === 1) pan(dx, dy);
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      zoom(apart(event) / apart(last), other.clientX, other.clientY);
    }
    pointers.set(event.pointerId, event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      stage.classList.remove("held");
    });
  }

  // -- buttons, keys and search -------------------------------------------------------------------------------

  const acts = { "+": () => zoom(1.25), "-": () => zoom(0.8), 0: () => fit(0) };
  for (const button of document.querySelectorAll("[data-act]")) {
    button.addEventListener("click", acts[button.getAttribute("data-act")]);
  }
  const arrows = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return choose(null);
    if (event.target === search) return;
    const id = event.target.getAttribute && event.target.getAttribute("data-node");
    const key = event.key === "=" ? "+" : event.key;
    if (id && (key === "Enter" || key === " ")) choose(id);
    else if (key === "/") search.focus();
    else if (Object.hasOwn(acts, key)) acts[key]();
    else if (Object.hasOwn(arrows, key) && !panel.contains(event.target)) pan(...arrows[key]);
    else return;
    event.preventDefault();
  });
  let found = [];
  search.addEventListener("input", () => {
    const sought = search.value.trim().toLowerCase();
    found = sought ? [...nodes.keys()].filter((id) => told[id].title.toLowerCase().includes(sought)) : [];
    svg.classList.toggle("dim", sought !== "");
    for (const [id, element] of nodes) element.classList.toggle("st-lit", found.includes(id));
    for (const { element } of edges) element.classList.remove("st-lit");
    if (found.length) reveal(found[0]);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !found.length) return;
    choose(found[0]);
    found.push(found.shift());
  });
  let printed = null;
  addEventListener("beforeprint", () => {
    printed = svg.getAttribute("viewBox");
    svg.setAttribute("viewBox", "0 0 " + size.width + " " + size.height);
  });
  addEventListener("afterprint", () => svg.setAttribute("viewBox", printed));
  new ResizeObserver(show).observe(stage);
  fit(0.62);
})();
