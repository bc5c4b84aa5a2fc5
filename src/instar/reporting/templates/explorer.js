// Samples with the predictions of teacher and student, softened by the slider.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const get = (name) => document.getElementById("explorer-" + name);
  const MAX_BARS = 12;
  const WHO = ["teacher", "student"];
  let run, sample, logits, bars;

  const element = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  const decode = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    // whole steps below the largest logit of the sample
    return Float64Array.from(new Uint16Array(bytes.buffer), (steps) => -steps * data.step);
  };

  const soften = (values, temperature) => {
    const found = values.map((value) => Math.exp(value / temperature)); // the largest is 0, so nothing overflows
    const sum = found.reduce((all, value) => all + value, 0);
    return found.map((value) => value / sum);
  };

  const entropy = (p) => p.reduce((all, value) => (value > 0 ? all - value * Math.log(value) : all), 0);

  const redraw = () => {
    const temperature = Number(get("temperature").value);
    get("shown").textContent = temperature.toFixed(1);
    WHO.forEach((who) => {
      const p = soften(logits[who], temperature);
      get(who + "-entropy").textContent = entropy(p).toFixed(4);
      get(who + "-off").textContent = (100 * (1 - p[sample.label])).toFixed(3);
      for (const bar of bars) {
        // a transform needs no layout, so the slider stays smooth
        bar[who].style.transform = "scaleX(" + p[bar.place] + ")";
        bar[who + "Figure"].textContent = (100 * p[bar.place]).toFixed(2);
      }
    });
  };

  const makeBars = () => {
    const order = [...logits.teacher.keys()].sort((a, b) => logits.teacher[b] - logits.teacher[a]);
    const shown = order.slice(0, MAX_BARS); // and always the label and what the student predicts
    const likeliest = logits.student.indexOf(Math.max(...logits.student));
    for (const place of [sample.label, likeliest]) if (!shown.includes(place)) shown.push(place);
    bars = shown.map((place) => {
      const row = element("div", undefined, place === sample.label ? "bar label" : "bar");
      const bar = {place, row};
      row.append(element("span", run.names[place], "class"));
      for (const who of WHO) {
        bar[who] = element("i", undefined, who);
        bar[who + "Figure"] = element("span", undefined, "figure");
        row.append(bar[who], bar[who + "Figure"]);
      }
      return bar;
    });
    get("bars").replaceChildren(...bars.map((bar) => bar.row));
  };

  const numbered = (some, between) => some.id + (some.position === undefined ? "" : between + some.position);
  const named = (some) => "test sample " + numbered(some, ", position ");

  const picture = (some) => {
    const image = element("img");
    image.src = data.images[some.image];
    image.alt = named(some);
    return image;
  };

  const player = (some) => {
    if (!some.sound) return [element("p", "The report has no room for the sound of this recording.", "quiet")];
    const audio = element("audio");
    const {address, seconds} = data.sounds[some.sound];
    audio.controls = true;
    audio.src = address;
    audio.ariaLabel = "test sample " + some.id;
    return [audio, element("p", seconds + " seconds", "quiet")];
  };

  const features = (some) => {
    const table = element("table");
    table.tabIndex = 0; // a long one scrolls, by keyboard too
    some.features.forEach((value, place) => {
      const row = table.insertRow();
      row.append(element("th", "feature " + (place + 1)), element("td", String(value), "figures"));
    });
    return table;
  };

  const show = (place) => {
    sample = run.samples[place];
    const count = run.names.length;
    logits = Object.fromEntries(WHO.map((who) => [who, run.decoded[who].slice(place * count, (place + 1) * count)]));
    for (const button of get("samples").children) button.ariaPressed = String(button.value === String(place));
    const nothing = element("p", "This input is neither an image nor a row of numbers, or the report has no room for it.");
    get("input").replaceChildren(sample.image ? picture(sample) : sample.features ? features(sample) :
      sample.text ? element("p", sample.text + (sample.position === undefined ? "" : " …"), "text") : nothing);
    if ("sound" in sample) get("input").append(...player(sample));
    get("label").textContent = run.names[sample.label];
    get("id").textContent = sample.id;
    get("position").textContent = sample.position === undefined ? "" : ", position " + sample.position;
    makeBars();
    redraw();
  };

  const list = () => {
    const [kind, label] = [get("kind").value, get("class").value];
    const fits = (some) => (!kind || some.kinds.includes(kind)) && (!label || String(some.label) === label);
    const places = [...run.samples.keys()].filter((place) => fits(run.samples[place]));
    get("samples").replaceChildren(...places.map((place) => {
      const button = element("button");
      const some = run.samples[place];
      button.type = "button";
      button.value = place;
      button.title = named(some) + ", label " + run.names[some.label];
      button.append(some.image ? picture(some) : numbered(some, " · "));
      button.addEventListener("click", () => show(place));
      return button;
    }));
    get("none").hidden = places.length > 0;
    get("figure").hidden = places.length === 0;
    if (places.length) show(places[0]);
  };

  const choose = () => {
    run = data.runs[Number(get("run").value)];
    run.names = data.classes[run.classes];
    // only when a run is chosen: decoding all of them would delay the page
    run.decoded ??= Object.fromEntries(WHO.map((who) => [who, decode(run[who])]));
    const labels = [...new Set(run.samples.map((some) => some.label))].sort((a, b) => a - b);
    get("class").replaceChildren(new Option("every class", ""), ...labels.map((label) => new Option(run.names[label], label)));
    get("mixture").hidden = !run.mixture;
    list();
  };

  get("run").append(...data.runs.map((one, place) => new Option(one.name, place)));
  get("run").addEventListener("change", choose);
  get("kind").addEventListener("change", list);
  get("class").addEventListener("change", list);
  get("temperature").addEventListener("input", redraw);
  choose();
})();
