"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const tone = i => "--s" + (i % 4);

function make(tag, text, attributes) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = text;
  for (const key in attributes || {}) node.setAttribute(key, attributes[key]);
  return node;
}
function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text !== undefined) node.textContent = text;
  return node;
}
function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 5, 10].map(k => k * power).find(k => k >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}
const short = v => Math.abs(v) >= 1e4 ? v.toExponential(0) : String(Number(v.toPrecision(4)));

// Draws series [{name, points: [[x, y, title]], line}] into a box, at the box's own width so that text keeps its size.
function chart(box, series, xLabel, yLabel, whole) {
  box.replaceChildren();
  const all = series.flatMap(s => s.points);
  if (!all.length) return;
  const W = Math.max(280, box.clientWidth), H = Math.min(360, Math.max(240, W * 0.5));
  const left = 58, right = 14, top = 12, bottom = 44;
  let [x0, x1] = [Math.min(...all.map(p => p[0])), Math.max(...all.map(p => p[0]))];
  let [y0, y1] = [Math.min(...all.map(p => p[1])), Math.max(...all.map(p => p[1]))];
  const dx = (x1 - x0) * 0.06 || 1, dy = (y1 - y0) * 0.12 || Math.abs(y1) * 0.1 || 1;
  [x0, x1, y0, y1] = [whole ? x0 - dx : Math.max(0, x0 - dx), x1 + dx, y0 - dy, y1 + dy];
  const px = x => left + (x - x0) / (x1 - x0) * (W - left - right);
  const py = y => H - bottom - (y - y0) / (y1 - y0) * (H - top - bottom);
  const label = `${yLabel} against ${xLabel}`;
  const root = svg("svg", {viewBox: `0 0 ${W} ${H}`, height: H, role: "img", "aria-label": label});
  for (const v of ticks(y0, y1, 5)) {
    root.append(svg("line", {class: "axis", x1: left, x2: W - right, y1: py(v), y2: py(v)}));
    root.append(svg("text", {x: left - 8, y: py(v) + 4, "text-anchor": "end"}, short(v)));
  }
  for (const v of ticks(x0, x1, W < 500 ? 4 : 8).filter(v => !whole || Number.isInteger(v))) {
    root.append(svg("line", {class: "axis", x1: px(v), x2: px(v), y1: H - bottom, y2: H - bottom + 5}));
    root.append(svg("text", {x: px(v), y: H - bottom + 18, "text-anchor": "middle"}, short(v)));
  }
  root.append(svg("text", {x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle"}, xLabel));
  root.append(svg("text", {x: 14, y: (top + H - bottom) / 2, "text-anchor": "middle",
    transform: `rotate(-90 14 ${(top + H - bottom) / 2})`}, yLabel));
  series.forEach((s, i) => {
    const colour = `var(${tone(i)})`;
    if (s.line) for (const run of s.line) root.append(svg("polyline", {fill: "none", stroke: colour, "stroke-width": 2,
      points: run.map(p => `${px(p[0])},${py(p[1])}`).join(" ")}));
    for (const p of s.points) {
      const dot = svg("circle", {cx: px(p[0]), cy: py(p[1]), r: 5, fill: colour, "fill-opacity": 0.85});
      dot.append(svg("title", {}, p[2]));
      root.append(dot);
    }
  });
  box.append(root);
}
function keys(list, names) {
  list.replaceChildren(...names.map((name, i) => {
    const item = make("li");
    item.append(make("i", null, {style: `background: var(${tone(i)})`}), name);
    return item;
  }));
}

const drawings = [];
const comparison = data.comparison;
if (comparison) {
  for (const list of document.querySelectorAll(".keys.trainers")) keys(list, comparison.trainers);
  const select = document.getElementById("measure");
  const quality = comparison.measures.filter(m => comparison.runs.some(r => m.name in r.quality));
  for (const m of quality) select.append(make("option", m.label.trim(), {value: m.name}));
  if (quality.some(m => m.name === "analogy_30k")) select.value = "analogy_30k";
  const drawTime = () => {
    const m = quality.find(q => q.name === select.value);
    chart(document.getElementById("time"), comparison.trainers.map(name => ({name, points: comparison.runs
      .filter(r => r.trainer === name && r.quality[m.name] !== null && r.quality[m.name] !== undefined)
      .map(r => [r.speed.total_seconds, r.quality[m.name],
        `${name}, seed ${r.seed}: ${r.quality[m.name].toFixed(1)} after ${r.speed.total_seconds.toFixed(1)} s`])})),
      "seconds from start to vectors", m.label.trim());
  };
  select.addEventListener("change", drawTime);
  drawings.push(drawTime);
  const losses = document.getElementById("loss");
  if (losses) drawings.push(() => chart(losses, comparison.trainers.map(name => {
    const runs = comparison.runs.filter(r => r.trainer === name);
    const points = r => r.loss_per_epoch.map((v, i) =>
      [i + 1, v, `${name}, seed ${r.seed}, epoch ${i + 1}: ${v.toFixed(4)}`]);
    return {name, line: runs.map(points).filter(line => line.length), points: runs.flatMap(points)};
  }), "epoch", "mean loss per pair", true));
}

const map = data.map;
if (map) {
  const canvas = document.getElementById("map"), ctx = canvas.getContext("2d"), said = document.getElementById("said");
  const search = document.getElementById("search"), kind = document.getElementById("kind");
  let points = map.layouts[0].points, view = null, chosen = -1, near = [];
  const size = () => [canvas.clientWidth, canvas.clientHeight];
  const rowOf = new Map(map.words.map((word, i) => [word.toLowerCase(), i]).reverse());
  function fit() {
    const [W, H] = size();
    let [a, b, c, d] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [x, y] of points) { a = Math.min(a, x); b = Math.max(b, x); c = Math.min(c, y); d = Math.max(d, y); }
    const scale = Math.min((W - 60) / (b - a || 1), (H - 40) / (d - c || 1));
    view = {scale, least: scale / 2, most: scale * 200, x: W / 2 - scale * (a + b) / 2, y: H / 2 - scale * (c + d) / 2};
  }
  const at = i => [view.x + view.scale * points[i][0], view.y + view.scale * points[i][1]];
  function draw() {
    const [W, H] = size(), ratio = window.devicePixelRatio || 1;
    if (!W) return;
    canvas.width = W * ratio; canvas.height = H * ratio;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!view) fit();
    const inside = [];
    ctx.fillStyle = css("--s0");
    ctx.globalAlpha = chosen < 0 ? 0.55 : 0.25;
    for (let i = 0; i < points.length; i++) {
      const [x, y] = at(i);
      if (x < -50 || y < -10 || x > W + 10 || y > H + 10) continue;
      inside.push(i);
      ctx.beginPath(); ctx.arc(x, y, 2, 0, 7); ctx.fill();
    }
    // Labels: what was searched for first, then frequent words, each where it covers no other.
    const taken = new Set(), first = chosen < 0 ? [] : [chosen, ...near];
    canvas.dataset.labels = 0;
    for (const i of [...first, ...inside]) {
      const main = first.includes(i), [x, y] = at(i);
      ctx.font = (i === chosen ? "bold 15px" : main ? "bold 13px" : "12px") + " system-ui, sans-serif";
      const width = ctx.measureText(map.words[i]).width, cells = [];
      for (let u = Math.floor((x - 2) / 12); u <= (x + 10 + width) / 12; u++)
        for (let v = Math.floor((y - 8) / 9); v <= (y + 7) / 9; v++) cells.push(u + "," + v);
      if (cells.some(cell => taken.has(cell)) && i !== chosen) {
        if (main) mark(x, y, 4);
        continue;
      }
      for (const cell of cells) taken.add(cell);
      ctx.globalAlpha = chosen < 0 || main ? 1 : 0.4;
      if (main) mark(x, y, i === chosen ? 6 : 4);
      ctx.fillStyle = css(i === chosen ? "--mark" : "--text");
      ctx.textBaseline = "middle";
      ctx.fillText(map.words[i], x + 7, y);
      canvas.dataset.labels = Number(canvas.dataset.labels) + 1;
    }
    ctx.globalAlpha = 1;
    canvas.dataset.scale = view.scale;
  }
  function mark(x, y, radius) {
    ctx.globalAlpha = 1; ctx.fillStyle = css("--mark");
    ctx.beginPath(); ctx.arc(x, y, radius, 0, 7); ctx.fill();
  }
  function zoom(factor, x, y) {
    const scale = Math.min(view.most, Math.max(view.least, view.scale * factor)), k = scale / view.scale;
    view.x = x - (x - view.x) * k; view.y = y - (y - view.y) * k; view.scale = scale;
    draw();
  }
  function find(text, move) {
    chosen = -1; near = []; said.textContent = "";
    const word = text.trim().toLowerCase();
    if (word) {
      chosen = rowOf.has(word) ? rowOf.get(word) : map.words.findIndex(w => w.toLowerCase().startsWith(word));
      if (chosen < 0) said.textContent = `“${text.trim()}” is not among the ${map.words.length} words of the map.`;
      else {
        near = map.near[chosen];
        const names = near.map(i => map.words[i]).join(", ");
        said.textContent = `${map.words[chosen]}: nearest on the map by cosine: ${names}`;
        if (move) {
          const [W, H] = size();
          view.scale = Math.max(view.scale, view.least * 5);
          view.x = W / 2 - view.scale * points[chosen][0]; view.y = H / 2 - view.scale * points[chosen][1];
        }
      }
    }
    draw();
  }
  search.addEventListener("input", () => find(search.value, true));
  const middle = () => size().map(v => v / 2);
  document.getElementById("in").addEventListener("click", () => zoom(1.5, ...middle()));
  document.getElementById("out").addEventListener("click", () => zoom(1 / 1.5, ...middle()));
  document.getElementById("all").addEventListener("click", () => { fit(); search.value = ""; find(""); });
  for (const layout of map.layouts) kind.append(make("option", layout.name));
  kind.hidden = map.layouts.length < 2;
  kind.addEventListener("change", () => { points = map.layouts[kind.selectedIndex].points; fit(); draw(); });
  canvas.addEventListener("wheel", e => {
    e.preventDefault(); zoom(Math.exp(-e.deltaY * 0.0015), e.offsetX, e.offsetY);
  }, {passive: false});
  const held = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", e => {
    canvas.setPointerCapture(e.pointerId); held.set(e.pointerId, [e.offsetX, e.offsetY]); moved = 0;
  });
  canvas.addEventListener("pointermove", e => {
    if (!held.has(e.pointerId)) return;
    const before = held.get(e.pointerId), now = [e.offsetX, e.offsetY];
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (held.size === 2) {
      const other = [...held].find(([id]) => id !== e.pointerId)[1];
      const apart = p => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
      held.set(e.pointerId, now);
      return zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    view.x += now[0] - before[0]; view.y += now[1] - before[1];
    held.set(e.pointerId, now);
    draw();
  });
  const release = e => {
    if (held.delete(e.pointerId) && e.type === "pointerup" && moved < 5) {
      let best = -1, least = 18 * 18;
      points.forEach((p, i) => {
        const [x, y] = at(i), d = (x - e.offsetX) ** 2 + (y - e.offsetY) ** 2;
        if (d < least) { least = d; best = i; }
      });
      search.value = best < 0 ? "" : map.words[best];
      find(search.value, false);
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  drawings.push(draw);
  window.addEventListener("resize", () => { fit(); if (chosen >= 0) find(search.value, true); });
  // report.html#king opens with the word found
  if (location.hash.length > 1) {
    search.value = decodeURIComponent(location.hash.slice(1));
    fit();
    find(search.value, true);
  }
}

const redraw = () => drawings.forEach(one => one());
redraw();
window.addEventListener("resize", redraw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.body.dataset.ready = "yes";
