// A line chart: chart(element, {lines: [{name, colour, dash, points}], title, log, readout}).
"use strict";
const SVG = "http://www.w3.org/2000/svg";

function svgElement(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function ticks(low, high, about) {
  const rough = (high - low) / about || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  // steps that people count in
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  // sums of 0.1 round, so the end has a margin and a tick is 0.3, not 0.30000000000000004
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(10)));
  return found;
}

function logTicks(low, high) {
  const found = [];
  const factors = high / low > 1000 ? [1] : [1, 2, 5]; // over many decades, one tick for each has room
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of factors) found.push(Number((factor * 10 ** power).toPrecision(4)));
  }
  return found.filter((tick) => tick >= low && tick <= high);
}

function chart(element, {lines, title, log, readout}) {
  const width = Math.max(300, Math.min(990, element.clientWidth || 990));
  const [height, left, right, top, bottom] = [360, 62, 10, 22, 36];
  // 0 has no logarithm
  const usable = lines.map((line) => ({...line, points: line.points.filter((point) => !log || point[1] > 0)}))
    .filter((line) => line.points.length);
  const svg = svgElement("svg", {viewBox: "0 0 " + width + " " + height, width, height, role: "img", "aria-label": title});
  svg.append(svgElement("text", {x: left, y: 13}, title + (log ? " (logarithmic)" : "")));
  element.replaceChildren(svg);
  if (!usable.length) {
    svg.append(svgElement("text", {x: left, y: 60}, "The selected runs did not record this quantity."));
    return;
  }
  const all = usable.flatMap((line) => line.points);
  // not Math.min(...values): a long list of arguments overflows the stack
  const ends = (place) => all.reduce(([low, high], point) => [Math.min(low, point[place]), Math.max(high, point[place])],
    [Infinity, -Infinity]);
  const [, lastX] = ends(0);
  let [low, high] = ends(1);
  // a constant has no range to divide by
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const scale = log ? Math.log : (value) => value;
  const x = (value) => left + (value / (lastX || 1)) * (width - left - right);
  const y = (value) => height - bottom - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (height - top - bottom);
  for (const tick of log ? logTicks(low, high) : ticks(low, high, 6)) {
    svg.append(svgElement("path", {class: "grid", d: "M" + left + " " + y(tick) + "H" + (width - right)}));
    svg.append(svgElement("text", {x: left - 6, y: y(tick) + 4, "text-anchor": "end"}, String(tick)));
  }
  for (const tick of ticks(0, lastX, width > 600 ? 10 : 5)) {
    svg.append(svgElement("text", {x: x(tick), y: height - bottom + 16, "text-anchor": "middle"}, String(tick)));
  }
  svg.append(svgElement("text", {x: (left + width) / 2, y: height - 4, "text-anchor": "middle"}, "epoch"));
  for (const line of usable) {
    const points = line.points.map(([at, value]) => x(at).toFixed(1) + "," + y(value).toFixed(1)).join(" ");
    svg.append(svgElement("polyline", {points, stroke: line.colour, "stroke-dasharray": line.dash}));
    if (line.points.length === 1) { // one point makes no line
      svg.append(svgElement("circle", {cx: x(line.points[0][0]), cy: y(line.points[0][1]), r: 3, fill: line.colour}));
    }
  }
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(); // the page may scale the drawing
    const [atX, atY] = [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * height / box.height];
    let nearest, least = Infinity;
    for (const line of usable) {
      for (const point of line.points) {
        const distance = (x(point[0]) - atX) ** 2 + (y(point[1]) - atY) ** 2;
        if (distance < least) [least, nearest] = [distance, [line, point]];
      }
    }
    readout.textContent = nearest[0].name + ", epoch " + nearest[1][0] + ": " + nearest[1][1];
  });
}
