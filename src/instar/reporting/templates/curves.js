// One quantity of the chosen runs, overlaid.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("curves-data").textContent);
  const get = (name) => document.getElementById("curves-" + name);

  const redraw = () => {
    const quantity = data.quantities[Number(get("quantity").value)];
    const boxes = [...get("runs").querySelectorAll("input")];
    const lines = data.runs.filter((run, place) => boxes[place].checked && run.series[quantity.name])
      .map((run) => ({...run, points: run.series[quantity.name]}));
    chart(get("chart"), {lines, title: quantity.title, log: get("scale").value === "log", readout: get("readout")});
  };

  get("quantity").append(...data.quantities.map((quantity, place) => new Option(quantity.title, place)));
  for (const run of data.runs) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", redraw);
    const sample = svgElement("svg", {viewBox: "0 0 24 8", "aria-hidden": "true"});
    sample.append(svgElement("path", {d: "M0 4H24", stroke: run.colour, "stroke-width": 3, "stroke-dasharray": run.dash}));
    label.append(box, " ", sample, " ", run.name);
    get("runs").append(label);
  }
  const setAll = (checked) => {
    for (const box of get("runs").querySelectorAll("input")) box.checked = checked;
    redraw();
  };
  get("all").addEventListener("click", () => setAll(true));
  get("none").addEventListener("click", () => setAll(false));
  get("quantity").addEventListener("change", redraw);
  get("scale").addEventListener("change", redraw);
  window.addEventListener("resize", redraw); // the number of ticks depends on the width
  redraw();
})();
