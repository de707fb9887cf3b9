// The browser of examples: filters over what the page holds, one page of pairs in the document at a time, so that its
// size does not matter. Text goes into text nodes and nowhere else. Offsets are code points, so texts are cut as such.
"use strict";
(() => {
  const PAGE = 20;
  const form = document.getElementById("filters");
  const list = document.getElementById("pairs");
  const [previous, next] = ["previous", "next"].map((id) => document.getElementById(id));
  let found = data.examples;
  let first = 0;

  const typesOf = (pair) => [...new Set(pair.entities.map((entity) => entity[2]))];
  const fields = {
    verdict: { values: (pair) => [pair.verdict], name: (value) => data.verdicts[value] },
    language: { values: (pair) => [pair.language], name: (value) => data.languages[value] },
    corpus: { values: (pair) => [pair.corpus], name: (value) => value },
    type: { values: typesOf, name: (value) => value },
  };

  function fill() {
    for (const [name, field] of Object.entries(fields)) {
      const counts = new Map();
      for (const pair of data.examples) for (const value of field.values(pair)) counts.set(value, (counts.get(value) ?? 0) + 1);
      const values = name === "verdict" ? Object.keys(data.verdicts).filter((value) => counts.has(value)) : [...counts.keys()].sort();
      for (const value of values) form.elements[name].append(element("option", { value }, `${field.name(value)} (${number.format(counts.get(value))})`));
    }
  }

  function filter() {
    const wanted = Object.fromEntries(new FormData(form));
    const text = wanted.text.trim().toLocaleLowerCase();
    const chosen = Object.keys(fields).filter((name) => wanted[name]);
    const [low, high] = [wanted.low === "" ? null : Number(wanted.low), wanted.high === "" ? null : Number(wanted.high)];
    found = data.examples.filter((pair) =>
      chosen.every((name) => fields[name].values(pair).includes(wanted[name])) &&
      (low === null || (pair.score !== null && pair.score >= low)) && (high === null || (pair.score !== null && pair.score <= high)) &&
      (!text || pair.source.toLocaleLowerCase().includes(text) || pair.target.toLocaleLowerCase().includes(text)));
    show(0);
  }

  function show(start) {
    first = Math.max(0, Math.min(start, Math.floor((found.length - 1) / PAGE) * PAGE));
    const page = found.slice(first, first + PAGE);
    list.replaceChildren(...page.map(card));
    list.querySelectorAll(".pair").forEach((pair) => resized.observe(pair));
    previous.disabled = first === 0;
    next.disabled = first + PAGE >= found.length;
    const range = page.length ? `${number.format(first + 1)}–${number.format(first + page.length)} of ` : "";
    document.getElementById("told").textContent = found.length === data.examples.length ? `${range}${number.format(found.length)} examples` : `${range}${number.format(found.length)} that match, of ${number.format(data.examples.length)} examples`;
  }

  function card(pair) {
    const box = element("div", { class: pair.target ? "pair" : "pair alone" });
    box.links = pair.links;
    const entityLinks = new Map(), spanLinks = new Map();
    pair.links.forEach(([entity, span], i) => { entityLinks.set(entity, [...(entityLinks.get(entity) ?? []), i]); spanLinks.set(span, [...(spanLinks.get(span) ?? []), i]); });
    const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    lines.setAttribute("aria-hidden", "true");
    box.append(lines, side(pair.source, pair.entities, "en", entityLinks));
    if (pair.target) box.append(side(pair.target, pair.spans, pair.language, spanLinks));
    pair.links.forEach(([entity], i) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.style.setProperty("--type", typeColor(pair.entities[entity][2]));
      path.dataset.link = i;
      lines.append(path);
    });
    box.addEventListener("pointerover", (event) => aim(box, event.target.closest("mark")));
    box.addEventListener("pointerleave", () => aim(box, null));
    const cut = (text, [start, end]) => Array.from(text).slice(start, end).join("");
    const joined = pair.links.map(([entity, span]) => `${cut(pair.source, pair.entities[entity])} becomes ${cut(pair.target, pair.spans[span])}`).join("; ");
    const head = element("header", {}, element("b", {}, data.verdicts[pair.verdict]), element("span", {}, `${data.languages[pair.language]}, ${pair.corpus} ${pair.id}`),
      ...(pair.score === null ? [] : [element("span", {}, `lowest score ${pair.score.toFixed(2)}`)]));
    const item = element("li", {}, head, element("p", { class: "reason" }, pair.reason), box, ...(joined ? [element("p", { class: "sr" }, joined)] : []));
    item.style.setProperty("--verdict", `var(--${pair.verdict})`);
    return item;
  }

  /** A text with its spans marked. Spans may overlap: the text is cut at all their ends, and a shared piece says so. */
  function side(text, spans, language, links) {
    const chars = Array.from(text);
    const cuts = [...new Set([0, chars.length, ...spans.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
    const made = element("p", { lang: language, dir: "auto" });
    for (let i = 0; i + 1 < cuts.length; i++) {
      const piece = chars.slice(cuts[i], cuts[i + 1]).join("");
      const here = spans.map((span, k) => k).filter((k) => spans[k][0] <= cuts[i] && spans[k][1] >= cuts[i + 1]);
      if (!here.length) { made.append(piece); continue; }
      const mark = element("mark", here.length > 1 ? { class: "clash" } : {}, piece);
      mark.style.setProperty("--type", typeColor(spans[here[0]][2]));
      mark.dataset.spans = ` ${here.join(" ")} `;
      const numbers = here.flatMap((k) => links.get(k) ?? []);
      if (numbers.length) mark.dataset.link = numbers.map((n) => n + 1).join(",");
      for (const k of here) if (spans[k][1] === cuts[i + 1]) mark.append("\u00a0", element("small", {}, `${spans[k][2]} ${spans[k][3].toFixed(2).replace(/^0/, "")}`));
      made.append(mark);
    }
    return made;
  }

  function aim(box, mark) {
    const on = new Set((mark?.dataset.link ?? "").split(",").filter(Boolean).map((n) => Number(n) - 1));
    box.classList.toggle("aimed", on.size > 0);
    box.querySelectorAll("path").forEach((path) => path.classList.toggle("on", on.has(Number(path.dataset.link))));
  }

  /**
   * Lines from entity to span: along the underline to the gutter, through it, and along the other underline, so that no
   * text is struck through. The gutter is between the texts where they lie side by side, left of them where they do not.
   */
  function join(box) {
    const [source, target] = box.querySelectorAll("p");
    if (!target) return;
    const origin = box.getBoundingClientRect();
    const [from, to] = [source, target].map((text) => text.getBoundingClientRect());
    const beside = to.left > from.left + 20;
    const paths = box.querySelectorAll("path");
    box.links.forEach(([entity, span], i) => {
      const [a, b] = [[source, entity], [target, span]].map(([text, k]) => [...text.querySelectorAll(`mark[data-spans~="${k}"]`)].flatMap((mark) => [...mark.getClientRects()]));
      if (!a.length || !b.length) return;
      const [start, end] = [beside ? a.at(-1) : a[0], b[0]];
      const [y1, y2] = [start.bottom - origin.top - 1, end.bottom - origin.top - 1];
      const [x1, x2] = [(beside ? start.right : start.left) - origin.left, end.left - origin.left];
      if (beside) {
        const [g1, g2] = [from.right - origin.left, to.left - origin.left];
        paths[i].setAttribute("d", `M${x1},${y1}H${g1}C${(g1 + g2) / 2},${y1} ${(g1 + g2) / 2},${y2} ${g2},${y2}H${x2}`);
      } else {
        const gutter = 12 - 3 * (i % 4), turn = Math.min(6, gutter);
        paths[i].setAttribute("d", `M${x1},${y1}H${gutter + turn}Q${gutter},${y1} ${gutter},${y1 + turn}V${y2 - turn}Q${gutter},${y2} ${gutter + turn},${y2}H${x2}`);
      }
    });
  }
  const resized = new ResizeObserver((entries) => entries.forEach((entry) => join(entry.target)));

  fill();
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  previous.addEventListener("click", () => show(first - PAGE));
  next.addEventListener("click", () => show(first + PAGE));
  filter();
})();
