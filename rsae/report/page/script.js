"use strict";
// Tables sort by a click on a column and filter by words; nothing is fetched.
const FEW = 7; // rows below which a filter is no help

function sortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => {
    header.tabIndex = 0;
    const sort = () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      headers.forEach((h) => h.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(key(a.cells[column]), key(b.cells[column])));
      body.append(...(down ? rows.reverse() : rows));
    };
    header.addEventListener("click", sort);
    header.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}

function key(cell) {
  const text = cell.dataset.key;
  const number = Number(text);
  return text === "" || Number.isNaN(number) ? text : number;
}

function compare(a, b) { // numbers first, in their order; then words
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}

function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < FEW) return;
  const tools = element("div", "tools");
  const input = element("input");
  const count = element("span", "", `${rows.length} rows`);
  input.type = "search";
  input.placeholder = "filter: words, all must match";
  input.setAttribute("aria-label", "Filter rows");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  });
  tools.append(input, count);
  table.parentElement.before(tools);
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

// Feature by feature: teacher and upgraded side by side.
function viewer(root, views) {
  const pick = element("div", "pick"), list = element("div", "list"), sides = element("div", "sides");
  const figures = element("p");
  const pair = select(pick, "teacher", Object.keys(views), () => { arm.fill(Object.keys(views[pair.value()])); });
  const arm = select(pick, "arm", [], () => listed());
  root.append(pick, list, figures, sides);

  function listed() {
    list.replaceChildren();
    const features = views[pair.value()][arm.value()];
    for (const group of new Set(features.map((f) => f.group))) {
      const row = element("div", "", group);
      for (const feature of features.filter((f) => f.group === group)) {
        const button = element("button", "", `#${feature.feature}`);
        button.addEventListener("click", () => show(feature, button));
        row.append(button);
      }
      list.append(row);
    }
    list.querySelector("button")?.click();
  }

  function show(feature, pressed) {
    list.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === pressed)));
    const round = (v) => v.toFixed(2);
    figures.textContent = `Feature ${feature.feature}: cosine of decoder rows ${round(feature.cosine)}, correlation of`
      + ` codes ${round(feature.correlation)}, shared strongest tokens ${round(feature.overlap)}.`;
    sides.replaceChildren(...Object.entries(feature.sides).map(([name, side]) => drawn(name, side)));
  }
  arm.fill(Object.keys(views[pair.value()]));
}

function drawn(name, side) {
  const box = element("div", "side");
  box.append(element("h4", "", name));
  box.append(element("small", "", `in the support on ${(100 * side.density).toPrecision(2)}% of tokens, largest code ${side.largest.toPrecision(3)}`));
  if (!side.contexts.length) box.append(element("p", "", "Not active on any token looked at."));
  for (const context of side.contexts) {
    const text = element("div", "context");
    text.append(element("cite", "", context.document));
    context.words.forEach((word, i) => {
      const token = element("span", i === context.at ? "at" : "", word.replaceAll("\n", "↵"));
      const share = Math.max(0, context.codes[i]) / (side.largest || 1);
      if (share > 0) token.style.background = `rgba(242, 140, 40, ${(0.12 + 0.78 * share).toFixed(2)})`;
      token.title = `code ${context.codes[i]}`;
      text.append(token);
    });
    box.append(text);
  }
  return box;
}

function select(parent, label, options, changed) {
  const wrap = element("label", "", label), box = element("select");
  const fill = (names) => {
    box.replaceChildren(...names.map((n) => new Option(n, n)));
    changed();
  };
  box.addEventListener("change", changed);
  wrap.append(box);
  parent.append(wrap);
  box.replaceChildren(...options.map((n) => new Option(n, n)));
  return { value: () => box.value, fill };
}

function following(links) { // the section in view is marked in the list of sections
  const by = new Map(links.map((a) => [a.getAttribute("href").slice(1), a]));
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        links.forEach((a) => a.classList.remove("here"));
        by.get(entry.target.id)?.classList.add("here");
      }
    }
  }, { rootMargin: "0px 0px -70% 0px" });
  document.querySelectorAll("main section").forEach((s) => observer.observe(s));
}

document.querySelectorAll("table.data").forEach((table) => { sortable(table); filterable(table); });
const data = document.getElementById("views");
if (data) viewer(document.getElementById("viewer"), JSON.parse(data.textContent));
following([...document.querySelectorAll("nav a")]);
document.documentElement.dataset.ready = String(Math.round(performance.now())); // ms until everything works
