"use strict";

// Tables are sorted by the column whose heading is clicked: by numbers where its cells have them, else by their texts.
for (const table of document.querySelectorAll("table")) {
  const headings = [...table.querySelectorAll("th")];
  headings.forEach((heading, column) => heading.firstChild.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numeric = heading.classList.contains("number");
    const key = (row) => row.cells[column].dataset.number;
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      if (!numeric) return a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
      if (key(a) === undefined || key(b) === undefined) return (key(a) === undefined) - (key(b) === undefined);
      return (down ? -1 : 1) * (key(a) - key(b));
    });
    if (down && !numeric) rows.reverse();
    body.append(...rows);
  }));
}

// What is folded is printed, too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

const figure = document.getElementById("points");
if (figure) showPoints(figure, JSON.parse(document.getElementById("points-data").textContent));

// Dots that can be pointed at: one per restart, at (x, loss).
function showPoints(figure, data) {
  const unpacked = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const x = new Float32Array(unpacked(data.x));
  const loss = new Float64Array(unpacked(data.loss));
  const place = new Uint16Array(unpacked(data.place));
  const kind = new Uint8Array(unpacked(data.kind));
  const group = new Uint8Array(unpacked(data.group));
  const minimum = new Int32Array(unpacked(data.minimum));
  const restart = new Uint32Array(unpacked(data.restart));
  const y = data.log ? loss.map(Math.log10) : loss;

  const canvas = figure.querySelector("canvas");
  const context = canvas.getContext("2d");
  const tip = figure.querySelector(".tip");
  const chosen = figure.querySelector("output");
  const shown = data.groups.map(() => true);
  const dots = []; // of the legend, each with its colour
  const edge = { left: 64, right: 12, top: 10, bottom: 44 };
  const whole = limits();
  let view = { ...whole };
  let dragged = null;
  let printing = false;

  function limits() {
    let low = Infinity;
    let high = -Infinity;
    for (const value of y) { low = Math.min(low, value); high = Math.max(high, value); }
    const room = (high - low) * 0.04 || Math.abs(high) * 0.05 || 0.05;
    const first = data.columns ? -0.5 : 0;
    const last = data.columns ? data.conditions.length - 0.5 : x.length + 1;
    return { left: first, right: last, low: low - room, high: high + room };
  }

  const inner = () => ({
    width: canvas.clientWidth - edge.left - edge.right,
    height: canvas.clientHeight - edge.top - edge.bottom,
  });
  const toX = (value) => edge.left + inner().width * (value - view.left) / (view.right - view.left);
  const toY = (value) => edge.top + inner().height * (view.high - value) / (view.high - view.low);
  const fromX = (pixel) => view.left + (pixel - edge.left) * (view.right - view.left) / inner().width;
  const fromY = (pixel) => view.high - (pixel - edge.top) * (view.high - view.low) / inner().height;

  function colours() {
    const style = getComputedStyle(figure);
    const light = { ink: "#000", soft: "#444", line: "#ccc", accent: "#000", dark: false };
    if (printing) return light;
    const value = (name) => style.getPropertyValue(name).trim();
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    return { ink: value("--ink"), soft: value("--soft"), line: value("--line"), accent: value("--accent"), dark };
  }

  // Round numbers between two ends, about as many as asked for.
  function round(low, high, wanted) {
    const raw = (high - low) / wanted;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= raw);
    const ticks = [];
    for (let index = Math.ceil(low / step); index * step <= high; index += 1) ticks.push(index * step);
    return ticks;
  }

  function lossTicks() {
    if (!data.log) return round(view.low, view.high, 6).map((value) => [value, Number(value.toPrecision(6)).toString()]);
    const decades = view.high - view.low;
    const factors = decades > 2.5 ? [1] : decades > 0.7 ? [1, 2, 5] : null;
    if (!factors) {
      const [low, high] = [10 ** view.low, 10 ** view.high];
      return round(low, high, 6).filter((value) => value > 0).map((value) => [Math.log10(value), written(value)]);
    }
    const every = Math.max(1, Math.ceil(decades / 10));
    const ticks = [];
    for (let power = Math.floor(view.low / every) * every; power <= view.high; power += every) {
      for (const factor of factors) ticks.push([power + Math.log10(factor), written(factor * 10 ** power)]);
    }
    return ticks.filter(([at]) => at >= view.low && at <= view.high);
  }

  const written = (value) => Number(value.toPrecision(4)).toString().replace("e+", "e");

  function draw() {
    const scale = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.font = "12px system-ui, sans-serif";
    edge.bottom = data.columns && !isUpright() ? 112 : 44;
    const tone = colours();
    for (const [dot, colour] of dots) dot.style.background = visible(colour, tone.dark);
    const { width, height } = inner();
    context.lineWidth = 1;
    context.strokeStyle = tone.line;
    context.fillStyle = tone.soft;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [at, text] of lossTicks()) {
      context.beginPath();
      context.moveTo(edge.left, toY(at));
      context.lineTo(edge.left + width, toY(at));
      context.stroke();
      context.fillText(text, edge.left - 7, toY(at));
    }
    data.columns ? drawColumns(tone, height) : drawRanks(tone, height);
    context.save();
    context.translate(13, edge.top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillStyle = tone.ink;
    context.fillText("final loss f", 0, 0);
    context.restore();
    drawDots(tone, width, height);
    if (dragged && dragged.moved) {
      context.strokeStyle = tone.accent;
      context.strokeRect(dragged.x, dragged.y, dragged.toX - dragged.x, dragged.toY - dragged.y);
    }
  }

  // Whether the names of all columns have room beside each other.
  function isUpright() {
    const width = toX(1) - toX(0);
    return data.conditions.every((condition) => context.measureText(condition.short).width < width - 6);
  }

  function drawColumns(tone, height) {
    const width = toX(1) - toX(0);
    const upright = isUpright();
    const every = Math.max(1, Math.ceil(14 / width));
    data.conditions.forEach((condition, index) => {
      const at = toX(index);
      if (index % every || at < edge.left || at > edge.left + inner().width) return;
      context.save();
      context.translate(at, edge.top + height + 8);
      if (!upright) context.rotate(-0.7);
      context.textAlign = upright ? "center" : "right";
      context.textBaseline = upright ? "top" : "middle";
      context.fillText(clipped(condition.short, upright ? width : 105), 0, 0);
      context.restore();
    });
    name(tone, data.axis, height);
  }

  function drawRanks(tone, height) {
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const rank of round(view.left, view.right, 8)) {
      if (rank !== Math.round(rank)) continue;
      const text = rank.toLocaleString("en");
      const last = canvas.clientWidth - context.measureText(text).width / 2; // beyond, the edge would cut it
      context.fillText(text, Math.min(toX(rank), last), edge.top + height + 6);
    }
    name(tone, data.axis, height);
  }

  // What stands across, at the lower edge.
  function name(tone, text, height) {
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillStyle = tone.ink;
    context.fillText(text, edge.left + inner().width / 2, edge.top + height + edge.bottom - 2);
  }

  function clipped(text, width) {
    let kept = text;
    while (kept.length > 3 && context.measureText(kept).width > width) kept = `${kept.slice(0, -2)}…`;
    return kept;
  }

  // A colour, lighter on a dark ground.
  function visible(colour, dark) {
    const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const grey = Math.max(...parts) - Math.min(...parts) < 20; // as figures have it (basinet.plots.dark)
    const lighter = (part) => grey ? 228 - (208 * part) / 255 : part + 0.4 * (255 - part);
    return `rgb(${parts.map((part) => Math.round(dark ? lighter(part) : part)).join(" ")})`;
  }

  function drawDots(tone, width, height) {
    context.save();
    context.beginPath();
    context.rect(edge.left, edge.top - 2, width, height + 4);
    context.clip();
    const size = x.length > 30000 ? 1.6 : x.length > 3000 ? 2.4 : 3.4;
    context.globalAlpha = x.length > 30000 ? 0.5 : 0.7;
    for (let number = data.groups.length - 1; number >= 0; number -= 1) {
      if (!shown[number]) continue;
      context.fillStyle = visible(data.groups[number].colour, tone.dark);
      for (let index = 0; index < x.length; index += 1) {
        if (group[index] === number) context.fillRect(toX(x[index]) - size / 2, toY(y[index]) - size / 2, size, size);
      }
    }
    context.restore();
  }

  // The restart nearest to a place, if it is near; -1 if none is.
  function nearest(left, top) {
    let found = -1;
    let best = 12 ** 2;
    for (let index = 0; index < x.length; index += 1) {
      if (!shown[group[index]]) continue;
      const distance = (toX(x[index]) - left) ** 2 + (toY(y[index]) - top) ** 2;
      if (distance < best) { best = distance; found = index; }
    }
    return found;
  }

  function told(index) {
    const reached = minimum[index] < 0 ? "" : ` ${minimum[index]}`;
    return [`restart ${restart[index]}`, data.conditions[place[index]].label,
      `f = ${Number(loss[index].toPrecision(6))}, ${data.kinds[kind[index]].name}${reached}`];
  }

  const inside = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointermove", (event) => {
    const [left, top] = inside(event);
    if (dragged) {
      Object.assign(dragged, { toX: left, toY: top });
      dragged.moved ||= Math.hypot(left - dragged.x, top - dragged.y) > 5;
      tip.hidden = true;
      draw();
      return;
    }
    const index = nearest(left, top);
    tip.hidden = index < 0;
    if (index < 0) return;
    tip.replaceChildren(...told(index).flatMap((line, number) => number ? [document.createElement("br"), line] : [line]));
    const room = figure.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.min(left + 14, room)}px`;
    tip.style.top = `${canvas.offsetTop + top + 14}px`;
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("pointerdown", (event) => {
    const [left, top] = inside(event);
    dragged = { x: left, y: top, toX: left, toY: top, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", (event) => {
    const drag = dragged;
    dragged = null;
    if (drag && drag.moved) {
      const [left, right] = [fromX(drag.x), fromX(drag.toX)].sort((a, b) => a - b);
      const [low, high] = [fromY(drag.y), fromY(drag.toY)].sort((a, b) => a - b);
      if (right > left && high > low) view = { left, right, low, high };
    } else {
      choose(nearest(...inside(event)));
    }
    draw();
  });
  canvas.addEventListener("dblclick", () => { view = { ...whole }; draw(); });

  function choose(index) {
    if (index < 0) { chosen.replaceChildren(); return; }
    const code = document.createElement("code");
    code.textContent = data.replay.replace("{run}", data.conditions[place[index]].run).replace("{restart}", restart[index]);
    chosen.replaceChildren(`${told(index).join(", ")}: `, code);
  }

  data.groups.forEach((entry, number) => {
    let count = 0;
    for (const value of group) count += value === number;
    if (!count) return;
    const button = document.createElement("button");
    const dot = document.createElement("i");
    dots.push([dot, entry.colour]);
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(dot, `${entry.name} (${count.toLocaleString("en")})`);
    button.addEventListener("click", () => {
      shown[number] = !shown[number];
      button.setAttribute("aria-pressed", String(shown[number]));
      draw();
    });
    figure.querySelector(".legend").append(button);
  });

  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; draw(); });
  draw();
}
