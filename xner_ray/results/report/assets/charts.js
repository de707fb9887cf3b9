// The charts: they take plain rows and draw SVG. Colors are CSS variables, so a change of the theme needs no new drawing. Each
// chart is drawn for its width, and again when the width changes.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const KNOWN = ["PER", "LOC", "ORG", "MISC"];
const types = [...new Set(data.entities.map((row) => row.type))].sort();
const others = types.filter((type) => !KNOWN.includes(type));
// The four types of CoNLL have their own colors; other types share the remaining four.
const typeColor = (type) => `var(--t${KNOWN.includes(type) ? KNOWN.indexOf(type) : 4 + (others.indexOf(type) % 4)})`;
const number = new Intl.NumberFormat("en");
const short = (n) => d3.format("~s")(n);
const MODEL = { "zero-transfer": "var(--before)", student: "var(--after)", teacher: "var(--after)" };
const bottom = { marginBottom: 42, insetBottom: 2 }; // space for ticks and the axis label
const style = { fontSize: "12px", background: "none", color: "var(--fg)" };

function element(name, attributes = {}, ...children) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.append(...children);
  return created;
}

/** A figure that draws itself for its width. The subtitle is gray. */
function chart(container, [title, subtitle], draw) {
  const box = element("div", { role: "img", "aria-label": `${container.dataset.label}: ${title || "all"}. The table below has the numbers.` });
  const figure = element("figure", {}, ...(title ? [element("figcaption", {}, title, element("span", {}, subtitle ? ` ${subtitle}` : ""))] : []), box);
  container.append(figure);
  let width = 0;
  const redraw = () => {
    const drawn = draw(width);
    drawn.setAttribute("aria-hidden", "true"); // the box has the accessible name, the table has the numbers
    box.replaceChildren(drawn);
  };
  const fit = () => {
    const available = Math.floor(box.clientWidth);
    if (available > 0 && available !== width) { width = available; redraw(); }
  };
  new ResizeObserver(fit).observe(box);
  fit();
  return redraw;
}

/** The left margin that axis labels need, at most a part of the width, and the format that shortens them to fit. */
function axisLabels(names, width) {
  const most = Math.floor((0.4 * width - 12) / 6.6);
  return {
    marginLeft: 12 + 6.6 * Math.max(4, ...names.map((name) => Math.min(most, name.length))),
    tickFormat: (name) => (name.length > most ? `${name.slice(0, most - 1)}…` : name),
  };
}

function legend(container, entries) {
  const item = ([name, color]) => {
    const swatch = element("i");
    swatch.style.background = color;
    return element("li", {}, swatch, name);
  };
  container.append(element("ul", { class: "legend", "aria-hidden": "true" }, ...entries.map(item)));
}

function gains(container) {
  legend(container, Object.entries(MODEL).slice(0, 2));
  const rows = data.sets.map((set) => ["all", ...Object.keys(set.student.types)].flatMap((type) =>
    [["zero-transfer", set.zero_transfer, -4], ["student", set.student, 4]].map(([model, row, dy]) => {
      const score = type === "all" ? row : row.types[type] ?? { f1: 0 };
      const [low, high] = score.f1_interval ?? [score.f1, score.f1];
      return { model, type, dy, f1: score.f1, low, high };
    })));
  const xMin = Math.max(0, Math.floor(Math.min(...rows.flat().map((row) => row.low)) / 10) * 10);
  data.sets.forEach((set, i) => chart(container, [data.languages[set.language], `${set.name}, ${number.format(set.sentences)} sentences`], (width) => Plot.plot({
    width, height: 52 + 34 * (Object.keys(set.student.types).length + 1), marginLeft: 52, ...bottom, style,
    x: { labelOffset: 38, domain: [xMin, 100], label: "F1", grid: true, ticks: 5 }, y: { label: null, domain: ["all", ...Object.keys(set.student.types)], padding: 0.3, tickSize: 0 },
    marks: [-4, 4].flatMap((dy) => {
      const points = rows[i].filter((row) => row.dy === dy);
      return [
        Plot.link(points, { x1: "low", x2: "high", y1: "type", y2: "type", dy, stroke: (row) => MODEL[row.model], strokeWidth: 3, strokeOpacity: 0.4 }),
        Plot.dot(points, { x: "f1", y: "type", dy, r: 4.5, fill: (row) => MODEL[row.model], channels: { model: "model" }, tip: { format: { fill: false, y: true } } }),
      ];
    }),
  })));
}

function entities(container) {
  legend(container, types.map((type) => [type, typeColor(type)]));
  for (const [code, name] of Object.entries(data.languages)) {
    const rows = data.entities.filter((row) => row.language === code).flatMap((row) => [["teacher", row.teacher], ["kept", row.kept]].map(([count, n]) => ({ ...row, count, n })));
    const corpora = d3.groupSort(rows, (part) => -d3.sum(part, (row) => row.n), (row) => row.corpus);
    if (rows.length) chart(container, [name], (width) => Plot.plot({
      width, height: 56 + 34 * corpora.length, marginLeft: axisLabels(corpora, width).marginLeft, ...bottom, style,
      x: { labelOffset: 38, label: "entities", grid: true, ticks: 4, tickFormat: short }, y: { axis: null, domain: ["teacher", "kept"], padding: 0.1 },
      fy: { domain: corpora, label: null, axis: "left", padding: 0.25, tickFormat: axisLabels(corpora, width).tickFormat },
      marks: [Plot.barX(rows, { x: "n", y: "count", fy: "corpus", fill: (row) => typeColor(row.type), fillOpacity: (row) => (row.count === "kept" ? 1 : 0.45), order: types, z: "type", channels: { type: "type" }, tip: { format: { fill: false, fillOpacity: false, z: false, y: true, fy: true } } })],
    }));
  }
}

function calibration(container) {
  if (!container) return;
  legend(container, [["zero-transfer", "var(--before)"], [`student, and the teacher on ${data.source_language.name}`, "var(--after)"]]);
  for (const panel of data.calibration) {
    const errors = Object.entries(panel.error).map(([model, error]) => `${model} ${error.toFixed(1)}%`).join(", ");
    const most = Math.max(...panel.bins.map((row) => row.entities));
    chart(container, [panel.name, `calibration error ${errors}`], (width) => Plot.plot({
      width, height: Math.min(width, 310), marginLeft: 44, ...bottom, style, x: { labelOffset: 38, domain: [0, 1], label: "score", ticks: 5 }, y: { domain: [0, 1], label: "accuracy", ticks: 5, grid: true },
      r: { domain: [0, most], range: [0, 9] },
      marks: [
        Plot.link([0], { x1: 0, y1: 0, x2: 1, y2: 1, stroke: "var(--muted)", strokeDasharray: "3,4" }),
        Plot.line(panel.bins, { x: "score", y: "accuracy", z: "model", stroke: (row) => MODEL[row.model], strokeOpacity: 0.6 }),
        Plot.dot(panel.bins, { x: "score", y: "accuracy", r: "entities", fill: (row) => MODEL[row.model], fillOpacity: 0.85, channels: { model: "model" }, tip: { format: { fill: false } } }),
      ],
    }));
  }
}

function scores(container) {
  const colors = { kept: "var(--kept)", dropped: "var(--unmapped)" };
  legend(container, [["in kept pairs", colors.kept], ["in dropped pairs", colors.dropped]]);
  for (const model of ["teacher", "aligner"]) {
    const rows = data.scores.filter((row) => row.model === model);
    const step = rows[1] ? rows[1].low - rows[0].low : 0.05;
    chart(container, [model, model === "teacher" ? "scores of entities" : "scores of projections"], (width) => Plot.plot({
      width, height: 220, marginLeft: 48, ...bottom, style, x: { labelOffset: 38, domain: [0, 1], label: "score", ticks: 5 }, y: { label: "entities", grid: true, ticks: 4, tickFormat: short },
      marks: [Plot.rectY(rows, { x1: "low", x2: (row) => row.low + step, y: "entities", fill: (row) => colors[row.pairs], z: "pairs", order: ["kept", "dropped"], inset: 0.5, channels: { pairs: "pairs" }, tip: { format: { fill: false, z: false } } }), Plot.ruleY([0])],
    }));
  }
}

function throughput(container) {
  const rows = data.throughput;
  const stages = rows.map((row) => row.stage);
  if (rows.length) chart(container, [""], (width) => Plot.plot({
    width, height: 52 + 26 * rows.length, marginLeft: axisLabels(stages, width).marginLeft, marginRight: 96, ...bottom, style,
    x: { labelOffset: 38, label: "seconds", grid: true, ticks: width / 160 }, y: { label: null, domain: stages, tickSize: 0, tickFormat: axisLabels(stages, width).tickFormat },
    marks: [
      Plot.barX(rows, { x: "seconds", y: "stage", fill: "var(--corpus)", rx: 2 }),
      Plot.text(rows, { x: "seconds", y: "stage", text: (row) => `${number.format(row.rate < 10 ? row.rate.toFixed(1) : Math.round(row.rate))} ${row.unit}/s`, textAnchor: "start", dx: 6 }),
    ],
  }));
}

/** The ledger as a Sankey diagram. In a narrow diagram the labels are above their nodes. */
function flow(container) {
  let language = Object.keys(data.flow)[0];
  const color = (name) => (data.verdicts[name] || name === "duplicate" ? `var(--${name})` : name === "training data" ? "var(--kept)" : name === "not selected" ? "var(--other)" : "var(--corpus)");
  const label = (name) => data.verdicts[name]?.replace("dropped: ", "") ?? name;
  // Columns: corpora, outcomes of their pairs, use of the kept pairs.
  const column = (id) => (id === "training data" || id === "not selected" ? 2 : data.verdicts[id] || id === "duplicate" ? 1 : 0);
  const order = ["kept", "kept_no_entity", "training data", "not selected"];
  const rank = (id) => (order.includes(id) ? order.indexOf(id) : 9);
  const draw = (width) => {
    const narrow = width < 560;
    const links = data.flow[language].map((link) => ({ ...link }));
    const nodes = [...new Set(links.flatMap((link) => [link.source, link.target]))].map((id) => ({ id }));
    const most = d3.max([0, 1, 2], (depth) => nodes.filter((node) => column(node.id) === depth).length);
    const height = Math.max(260, most * (narrow ? 46 : 38));
    const svg = d3.create("svg").attr("width", width).attr("height", height).attr("viewBox", [0, 0, width, height]).style("font-size", "12px");
    const graph = d3.sankey().nodeId((node) => node.id).nodeWidth(10).nodePadding(narrow ? 24 : 18)
      .nodeAlign((node) => column(node.id)).nodeSort((a, b) => rank(a.id) - rank(b.id) || b.value - a.value)
      .extent([[1, 20], [width - 1, height - 6]])({ nodes, links });
    svg.append("g").attr("fill", "none").selectAll("path").data(graph.links).join("path")
      .attr("d", d3.sankeyLinkHorizontal()).attr("stroke", (link) => color(link.target.id)).attr("stroke-opacity", 0.38).attr("stroke-width", (link) => Math.max(1, link.width))
      .append("title").text((link) => `${link.source.id} → ${label(link.target.id)}: ${number.format(link.value)}`);
    const node = svg.append("g").selectAll("g").data(graph.nodes).join("g");
    node.append("rect").attr("x", (d) => d.x0).attr("y", (d) => d.y0).attr("width", 10).attr("height", (d) => Math.max(1, d.y1 - d.y0)).attr("fill", (d) => color(d.id)).attr("rx", 2);
    // Labels are beside their node. In a narrow diagram they are above it, except in the last column, where they would overlap.
    const last = (d) => column(d.id) === 2;
    const x = (d) => (last(d) ? d.x0 - 6 : narrow ? d.x0 : d.x1 + 6);
    const y = (d) => (narrow && !last(d) ? d.y0 - 4 : (d.y0 + d.y1) / 2 + 4);
    node.append("text").attr("x", x).attr("y", y).attr("text-anchor", (d) => (last(d) ? "end" : "start"))
      .attr("fill", "var(--fg)").attr("stroke", "var(--bg)").attr("stroke-width", 3).attr("paint-order", "stroke")
      .text((d) => label(d.id)).append("tspan").attr("fill", "var(--muted)").text((d) => ` ${number.format(d.value)}`);
    return svg.node();
  };
  const redraw = chart(container, [""], draw);
  document.querySelectorAll("[data-flow]").forEach((button) => button.addEventListener("click", () => {
    language = button.dataset.flow;
    document.querySelectorAll("[data-flow]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    redraw();
  }));
}

const container = (name) => document.getElementById(`chart-${name}`);
gains(container("gains"));
flow(container("flow"));
entities(container("entities"));
calibration(container("calibration"));
scores(container("scores"));
throughput(container("throughput"));

const theme = document.getElementById("theme");
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const updateTheme = () => { theme.setAttribute("aria-pressed", String(isDark())); };
theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; updateTheme(); });
updateTheme();
