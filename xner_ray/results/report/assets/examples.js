// The example browser: filters over the examples of the page. The document holds one page of pairs at a time, so the number of
// examples does not matter. Text is only put into text nodes. Offsets are code points, so texts are split into code points.
"use strict";
(() => {
  const PAGE = 20;
  const form = document.getElementById("filters");
  const list = document.getElementById("pairs");
  const [previous, next] = ["previous", "next"].map((id) => document.getElementById(id));
  let matches = data.examples;
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
    const values = Object.fromEntries(new FormData(form));
    const text = values.text.trim().toLocaleLowerCase();
    const active = Object.keys(fields).filter((name) => values[name]);
    const [low, high] = [values.low === "" ? null : Number(values.low), values.high === "" ? null : Number(values.high)];
    matches = data.examples.filter((pair) =>
      active.every((name) => fields[name].values(pair).includes(values[name])) &&
      (low === null || (pair.score !== null && pair.score >= low)) && (high === null || (pair.score !== null && pair.score <= high)) &&
      (!text || pair.source.toLocaleLowerCase().includes(text) || pair.target.toLocaleLowerCase().includes(text)));
    show(0);
  }

  function show(start) {
    first = Math.max(0, Math.min(start, Math.floor((matches.length - 1) / PAGE) * PAGE));
    const page = matches.slice(first, first + PAGE);
    list.replaceChildren(...page.map(card));
    list.querySelectorAll(".pair").forEach((pair) => resizeObserver.observe(pair));
    previous.disabled = first === 0;
    next.disabled = first + PAGE >= matches.length;
    const range = page.length ? `${number.format(first + 1)}–${number.format(first + page.length)} of ` : "";
    document.getElementById("match-count").textContent = matches.length === data.examples.length ? `${range}${number.format(matches.length)} examples` : `${range}${number.format(matches.length)} matches in ${number.format(data.examples.length)} examples`;
  }

  function card(pair) {
    const box = element("div", { class: pair.target ? "pair" : "pair alone" });
    box.links = pair.links;
    const entityLinks = new Map(), spanLinks = new Map();
    pair.links.forEach(([entity, span], i) => { entityLinks.set(entity, [...(entityLinks.get(entity) ?? []), i]); spanLinks.set(span, [...(spanLinks.get(span) ?? []), i]); });
    const lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    lines.setAttribute("aria-hidden", "true");
    box.append(lines, textWithSpans(pair.source, pair.entities, data.source_language.code, entityLinks));
    if (pair.target) box.append(textWithSpans(pair.target, pair.spans, pair.language, spanLinks));
    pair.links.forEach(([entity], i) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.style.setProperty("--type", typeColor(pair.entities[entity][2]));
      path.dataset.link = i;
      lines.append(path);
    });
    box.addEventListener("pointerover", (event) => highlight(box, event.target.closest("mark")));
    box.addEventListener("pointerleave", () => highlight(box, null));
    const cut = (text, [start, end]) => Array.from(text).slice(start, end).join("");
    const alignment = pair.links.map(([entity, span]) => `${cut(pair.source, pair.entities[entity])} is aligned to ${cut(pair.target, pair.spans[span])}`).join("; ");
    const head = element("header", {}, element("b", {}, data.verdicts[pair.verdict]), element("span", {}, `${data.languages[pair.language]}, ${pair.corpus} ${pair.id}`),
      ...(pair.score === null ? [] : [element("span", {}, `lowest score ${pair.score.toFixed(2)}`)]));
    const item = element("li", {}, head, element("p", { class: "reason" }, pair.reason), box, ...(alignment ? [element("p", { class: "sr" }, alignment)] : []));
    item.style.setProperty("--verdict", `var(--${pair.verdict})`);
    return item;
  }

  /** A text with its spans marked. Spans may overlap: the text is split at all their ends, and a shared piece has its own style. */
  function textWithSpans(text, spans, language, links) {
    const chars = Array.from(text);
    const cuts = [...new Set([0, chars.length, ...spans.flatMap(([start, end]) => [start, end])])].sort((a, b) => a - b);
    const paragraph = element("p", { lang: language, dir: "auto" });
    for (let i = 0; i + 1 < cuts.length; i++) {
      const piece = chars.slice(cuts[i], cuts[i + 1]).join("");
      const covering = spans.map((span, k) => k).filter((k) => spans[k][0] <= cuts[i] && spans[k][1] >= cuts[i + 1]);
      if (!covering.length) { paragraph.append(piece); continue; }
      const mark = element("mark", covering.length > 1 ? { class: "clash" } : {}, piece);
      mark.style.setProperty("--type", typeColor(spans[covering[0]][2]));
      mark.dataset.spans = ` ${covering.join(" ")} `;
      const numbers = covering.flatMap((k) => links.get(k) ?? []);
      if (numbers.length) mark.dataset.link = numbers.map((n) => n + 1).join(",");
      for (const k of covering) if (spans[k][1] === cuts[i + 1]) mark.append("\u00a0", element("small", {}, `${spans[k][2]} ${spans[k][3].toFixed(2).replace(/^0/, "")}`));
      paragraph.append(mark);
    }
    return paragraph;
  }

  /** Highlight the links of a mark; null ends it. */
  function highlight(box, mark) {
    const on = new Set((mark?.dataset.link ?? "").split(",").filter(Boolean).map((n) => Number(n) - 1));
    box.classList.toggle("highlighted", on.size > 0);
    box.querySelectorAll("path").forEach((path) => path.classList.toggle("on", on.has(Number(path.dataset.link))));
  }

  /**
   * Draw the lines from entities to spans. A line runs along the underline to the gutter, through the gutter, and along the
   * other underline, so it crosses no text. The gutter is between the texts if they are side by side, else left of them.
   */
  function drawLinks(box) {
    const [source, target] = box.querySelectorAll("p");
    if (!target) return;
    const origin = box.getBoundingClientRect();
    const [from, to] = [source, target].map((text) => text.getBoundingClientRect());
    const sideBySide = to.left > from.left + 20;
    const paths = box.querySelectorAll("path");
    box.links.forEach(([entity, span], i) => {
      const [a, b] = [[source, entity], [target, span]].map(([text, k]) => [...text.querySelectorAll(`mark[data-spans~="${k}"]`)].flatMap((mark) => [...mark.getClientRects()]));
      if (!a.length || !b.length) return;
      const [start, end] = [sideBySide ? a.at(-1) : a[0], b[0]];
      const [y1, y2] = [start.bottom - origin.top - 1, end.bottom - origin.top - 1];
      const [x1, x2] = [(sideBySide ? start.right : start.left) - origin.left, end.left - origin.left];
      if (sideBySide) {
        const [g1, g2] = [from.right - origin.left, to.left - origin.left];
        paths[i].setAttribute("d", `M${x1},${y1}H${g1}C${(g1 + g2) / 2},${y1} ${(g1 + g2) / 2},${y2} ${g2},${y2}H${x2}`);
      } else {
        const gutter = 12 - 3 * (i % 4), turn = Math.min(6, gutter);
        paths[i].setAttribute("d", `M${x1},${y1}H${gutter + turn}Q${gutter},${y1} ${gutter},${y1 + turn}V${y2 - turn}Q${gutter},${y2} ${gutter + turn},${y2}H${x2}`);
      }
    });
  }
  const resizeObserver = new ResizeObserver((entries) => entries.forEach((entry) => drawLinks(entry.target)));

  fill();
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  previous.addEventListener("click", () => show(first - PAGE));
  next.addEventListener("click", () => show(first + PAGE));
  filter();
})();
