// Votes, stored frames, the glossary's words, sorting, the feature explorer. No library.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, text = "", set = {}) => Object.assign(document.createElement(tag), { textContent: text, ...set });
document.documentElement.classList.add("script");

// ---- the two menus: the theme listens to the buttons of its own head, which site.css hides
for (const side of ["primary", "secondary"]) {
  const [theirs, ours] = all(`.${side}-toggle`);
  if (ours) ours.onclick = () => theirs.click();
}
addEventListener("hashchange", () => all("dialog[open]").forEach(menu => menu.close()));

// ---- a displayed formula a little too wide is set smaller; one much too wide scrolls
const fit = () => {
  for (const formula of all('mjx-container[display="true"]')) {
    const share = formula.clientWidth / formula.scrollWidth;
    if (share < 1) formula.style.fontSize = `${Math.max(0.8, share) * parseFloat(getComputedStyle(formula).fontSize)}px`;
  }
};
addEventListener("load", () => globalThis.MathJax?.startup?.promise?.then(fit));

// ---- votes: what comes after one waits for it
let vote = null;
for (const element of all(".vote, .tag_waits")) {
  if (element.matches(".vote")) { vote = element; vote.waiting = []; }
  else if (vote) { vote.waiting.push(element); element.classList.add("waiting"); }
}
for (const vote of all(".vote")) {
  const right = Number(vote.dataset.right), choices = all("li", vote);
  const told = make("p", "", { role: "status" });
  const look = make("button", choices.length ? "Show it without a guess" : "I have my guess: show what came out");
  const show = () => { look.remove(); vote.waiting.forEach(cell => cell.classList.remove("waiting")); };
  if (vote.waiting.length) vote.append(look);
  look.onclick = show;
  choices.forEach((choice, place) => {
    const button = make("button", "", { innerHTML: choice.innerHTML });
    choice.replaceChildren(button);
    button.onclick = () => {
      all("li button", vote).forEach(other => { other.disabled = true; });
      choices[right].classList.add("right");
      const why = vote.querySelector("details p").innerHTML, chosen = `You chose (${"abcdefgh"[place]})`;
      told.innerHTML = place == right ? `${chosen}, and so it is. ${why.slice(5)}` : `${chosen}; it is ${why}`;
      vote.append(told);
      show();
    };
  });
}

// ---- frames of a tool behind one range
for (const film of all(".film")) {
  const [values, frames] = JSON.parse(film.dataset.film), range = film.querySelector("input");
  range.oninput = () => {
    const frame = frames[range.value], picture = film.querySelector("img, pre");
    if (frame.src) Object.assign(picture, { src: "_static/" + frame.src, alt: frame.alt });
    else picture.textContent = frame.text;
    film.querySelector(".said").textContent = frame.alt ?? "";
    film.querySelector("output").textContent = range.ariaValueText = values[range.value];
  };
}

// ---- the glossary's words, by mouse and by focus; by touch, and a second touch follows the link
for (const link of all("a[data-meaning]")) {
  const tip = make("span", link.dataset.meaning, { className: "tip", role: "tooltip" });
  const show = () => {
    all(".tip").forEach(other => other.remove());
    document.body.append(tip);
    const box = link.getBoundingClientRect(), room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(box.left, room))}px`;
    tip.style.top = `${box.bottom + scrollY + 4}px`;
  };
  let first;
  link.onpointerdown = () => { first = !tip.isConnected; };
  link.onclick = event => { if (first && event.pointerType == "touch") event.preventDefault(); };
  link.onmouseenter = link.onfocus = show;
  link.onmouseleave = link.onblur = () => tip.remove();
  link.onkeydown = event => { if (event.key == "Escape") tip.remove(); };
}

// ---- a table sorted by its heads
for (const table of all(".sortable table")) all("th", table).forEach((head, column) => {
  const button = make("button", head.textContent);
  head.replaceChildren(button);
  button.onclick = () => {
    const up = head.ariaSort != "ascending", body = table.tBodies[0], text = row => row.cells[column].textContent;
    const order = (a, b) => a - b || a.localeCompare(b, "en", { numeric: true }); // numbers, then texts
    all("th", table).forEach(other => other.removeAttribute("aria-sort"));
    head.ariaSort = up ? "ascending" : "descending";
    body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * order(text(a), text(b))));
  };
});

// ---- the feature explorer: a map to hover over, a search, a page for a feature
for (const explorer of all(".explorer")) {
  const { kinds, rows } = JSON.parse(explorer.querySelector("script").textContent), every = [...rows.keys()];
  const name = i => `A/${rows[i][0]}/${rows[i][1]}`, label = i => `${name(i)} · ${rows[i][4]} · ${kinds[rows[i][5]]}`;
  const search = make("input", "", { type: "search", placeholder: "a token, a kind of text, or a number" });
  const caption = make("label", "Search the features: "), found = make("ul"), near = make("output"), card = make("div");
  const map = make("canvas", "", { width: 640, height: 640, role: "img", ariaLabel: "Map of the features by direction" });
  const pen = map.getContext("2d"), where = i => [rows[i][2] * 0.62 + 10, rows[i][3] * 0.62 + 10];
  const dot = (i, colour, size) => { pen.fillStyle = colour; pen.beginPath(); pen.arc(...where(i), size, 0, 7); pen.fill(); };
  const draw = (marked, chosen) => {
    pen.clearRect(0, 0, 640, 640);
    rows.forEach((row, i) => row[0] && dot(i, "#9ab", 1.5));
    rows.forEach((row, i) => row[0] || dot(i, "#0072b2", 2.5));
    marked.forEach(i => dot(i, "#d55e00", 4));
    if (chosen >= 0) dot(chosen, "black", 6);
  };
  const buttons = list => list.map(i => {
    const item = make("li"), button = make("button", label(i));
    button.onclick = () => choose(i);
    item.append(button);
    return item;
  });
  const hits = () => {
    const wanted = search.value.trim().toLowerCase();
    return every.filter(i => wanted && label(i).toLowerCase().includes(wanted));
  };
  const choose = i => {
    const row = rows[i], [, , , , , , often, parent, before, token, after] = row;
    const family = parent >= 0 ? [parent] : every.filter(j => rows[j][7] == i);
    const text = make("p", `where it fires most strongly: … ${before}`);
    text.append(make("mark", token), after + " …");
    const list = make("ul");
    list.append(...buttons(family.slice(0, 12)));
    card.replaceChildren(make("p", label(i), { style: "font-weight: 600" }), make("p", `fires on ${often} in 10,000 tokens`), text,
      make("p", row[0] ? "its parent in A/0:" : `${family.length} children in A/1:`), list);
    draw(hits(), i);
  };
  const nearest = event => {
    const box = map.getBoundingClientRect(), scale = 640 / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    const far = i => Math.hypot(where(i)[0] - x, where(i)[1] - y);
    return every.reduce((best, i) => far(i) < far(best) ? i : best, 0);
  };
  search.oninput = () => { found.replaceChildren(...buttons(hits().slice(0, 8))); near.textContent = search.value && `${hits().length} features`; draw(hits(), -1); };
  map.onmousemove = event => { near.textContent = label(nearest(event)); };
  map.onclick = event => choose(nearest(event));
  const legend = make("p", "A dot is a feature, blue of A/0, grey of A/1, orange what the search finds.", { className: "said" });
  caption.append(search);
  explorer.append(caption, found, near, map, legend, card);
  draw([], -1);
}
