// Matrices of mean soft targets, one pixel for each pair of classes.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("similarity-data").textContent);
  const get = (name) => document.getElementById("similarity-" + name);
  const dark = matchMedia("screen and (prefers-color-scheme: dark)"); // paper is never dark
  const BLUE = [0, 114, 178], ORANGE = [213, 94, 0];
  const matrices = [...document.querySelectorAll("#similarity-matrices .matrix")];
  let run, teacher, student, cell = [0, 0], isPointed = false; // whether a cell was pointed at

  const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const share = (byte) => (byte ? 10 ** ((byte / 255 - 1) * data.decades) : 0);
  const percent = (byte) => (byte ? (100 * share(byte)).toPrecision(3) : "below 0.001") + "%";
  const mixed = (colour, part) => {
    const ground = dark.matches ? 22 : 255;
    return colour.map((value) => Math.round(ground + (value - ground) * Math.min(1, part)));
  };

  // one pixel per cell: the style scales the canvas up
  const paint = (name, colour) => {
    const count = run.classes.length;
    const canvas = get(name);
    canvas.width = canvas.height = count;
    const context = canvas.getContext("2d");
    const image = context.createImageData(count, count);
    for (let at = 0; at < count * count; at++) image.data.set([...colour(at), 255], 4 * at);
    context.putImageData(image, 0, 0);
  };

  const writeNames = () => {
    const named = run.classes.length <= data.named ? run.classes : [];
    for (const matrix of matrices) {
      matrix.style.setProperty("--count", run.classes.length);
      for (const axis of matrix.querySelectorAll(".rows, .columns")) {
        axis.replaceChildren(...named.map((name) => {
          const made = document.createElement("span");
          made.textContent = made.title = name;
          return made;
        }));
      }
    }
  };

  const mark = () => {
    const share = 100 / run.classes.length;
    const [top, left, size] = [cell[0] * share, cell[1] * share, share].map((part) => part + "%");
    for (const matrix of matrices) {
      const frame = matrix.querySelector(".mark");
      frame.hidden = false;
      Object.assign(frame.style, {top, left, width: size, height: size});
      [".rows", ".columns"].forEach((axis, way) => {
        [...matrix.querySelector(axis).children].forEach((name, at) => name.classList.toggle("here", at === cell[way]));
      });
    }
  };

  const draw = () => {
    run = data.runs[Number(get("run").value)];
    const at = Number(get("temperature").value);
    [teacher, student] = [decode(run.teacher[at]), decode(run.student[at])];
    get("samples").textContent = run.samples;
    paint("teacher", (place) => mixed(BLUE, teacher[place] / 255));
    paint("student", (place) => mixed(ORANGE, student[place] / 255));
    const full = (2 / data.decades) * 255; // a factor of 100
    paint("lost", (place) => {
      const less = teacher[place] - student[place];
      return mixed(less > 0 ? BLUE : ORANGE, Math.abs(less) / full);
    });
    writeNames();
    if (isPointed) describeCell();
  };

  const inside = (place) => Math.min(run.classes.length - 1, Math.max(0, place));

  const describeCell = () => {
    isPointed = true;
    cell = cell.map(inside); // the edge of the canvas is outside, and another run may have fewer classes
    const [row, column] = cell;
    const place = row * run.classes.length + column;
    get("readout").textContent = "Label " + run.classes[row] + ", class " + run.classes[column] + ": teacher " +
      percent(teacher[place]) + ", student " + percent(student[place]) + ".";
    mark();
  };

  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const parts = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    cell = parts.map((part) => Math.floor(part * run.classes.length));
    describeCell();
  };

  const moves = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  for (const name of ["teacher", "student", "lost"]) {
    get(name).addEventListener("pointermove", point);
    get(name).addEventListener("pointerdown", point); // a finger that taps does not move
    get(name).addEventListener("focus", describeCell);
    get(name).addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault(); // the page would scroll
      cell = cell.map((value, axis) => value + move[axis]);
      describeCell();
    });
  }
  get("run").append(...data.runs.map((one, place) => new Option(one.name, place)));
  get("temperature").append(...data.temperatures.map((value, place) => new Option("T = " + value, place)));
  get("temperature").value = data.temperatures.indexOf(4);
  get("run").addEventListener("change", draw);
  get("temperature").addEventListener("change", draw);
  dark.addEventListener("change", draw);
  draw();
})();
