// A decision tree from left to right; only open nodes are drawn, so that large trees stay quick.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("trees-data").textContent);
  const get = (name) => document.getElementById("trees-" + name);
  const [WIDTH, HEIGHT, ACROSS, DOWN, MARGIN] = [206, 44, 250, 52, 8];
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
  const MAX_LETTERS = 30;
  const count = new Intl.NumberFormat("en"); // one for all, because making one takes longer than drawing a box
  let run, nodes, open, chosen, parents, depths;

  const element = (tag, text) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const cut = (text) => (text.length <= MAX_LETTERS ? text : text.slice(0, MAX_LETTERS - 1) + "…");
  const percent = (share) => (100 * share).toFixed(1) + "%";
  // a probability, a number, or what a tree of a booster adds to a logit or a number
  const write = (value) => (run.kind === "probabilities" ? percent(value) : (run.kind === "steps" && value > 0 ? "+" : "") + value);
  const likeliest = (node) => {
    const [place, value] = node.p[0];
    return (run.isNumber ? "" : run.classes[place] + " ") + write(value);
  };
  const title = (node) => (node.next ? node.short[0] + "?" : run.isNumber ? write(node.p[0][1]) : run.classes[node.p[0][0]]);

  const path = (number) => {
    const found = [];
    for (let at = number; parents[at] !== undefined; at = parents[at]) {
      const above = nodes[parents[at]], answer = above.next[0] === at ? 0 : 1;
      found.unshift([above.short[answer], above.told[answer]]);
    }
    return found;
  };

  const tell = () => {
    const node = nodes[chosen], rules = path(chosen), panel = get("rules"), list = element("ol");
    panel.replaceChildren(element("strong", rules.length ? "If" : "All samples"));
    for (const [short, told] of rules) {
      const item = element("li", short);
      item.title = told; // all digits, and what happens to missing values
      list.append(item);
    }
    if (rules.length) panel.append(list);
    const samples = count.format(node.n) + " of " + count.format(nodes[0].n) + " training samples";
    panel.append(element("p", (run.kind === "steps" ? "then add " : "then ") + likeliest(node) + " (" + samples + ")" + (node.next ? "; next: " + node.short[0] + "?" : "")));
    if (run.isNumber) return;
    const table = element("table"), head = element("tr");
    head.append(element("th", "Class"), element("th", run.kind === "steps" ? "Added to the logit" : "Soft target"), element("th", "Labels"));
    table.append(head);
    node.p.forEach(([place, value], row) => {
      const line = element("tr");
      line.append(element("td", run.classes[place]), element("td", write(value)), element("td", count.format(node.l[row])));
      for (const cell of [...line.children].slice(1)) cell.className = "figures";
      table.append(line);
    });
    if (run.classes.length > node.p.length) table.append(element("caption", node.p.length + " of " + run.classes.length + " classes"));
    panel.append(table);
  };

  const redraw = () => {
    // rows are counted by leaves that are drawn, and a node stands between its children
    const drawn = [], waiting = [[0, false]], rows = new Map();
    let row = 0;
    while (waiting.length) {
      const [number, isSecond] = waiting.pop(), next = open.has(number) ? nodes[number].next : undefined;
      if (isSecond) rows.set(number, (rows.get(next[0]) + rows.get(next[1])) / 2);
      else {
        drawn.push(number);
        if (next) waiting.push([number, true], [next[1], false], [next[0], false]);
        else rows.set(number, row++);
      }
    }
    const deepest = drawn.reduce((most, number) => Math.max(most, depths[number]), 0);
    const place = (number) => [MARGIN + depths[number] * ACROSS, MARGIN + rows.get(number) * DOWN];
    const width = 2 * MARGIN + deepest * ACROSS + WIDTH, height = 2 * MARGIN + (row - 1) * DOWN + HEIGHT;
    const svg = svgElement("svg", {width, height, viewBox: "0 0 " + width + " " + height, role: "tree", "aria-label": "Decision tree of " + run.name});
    const onPath = new Set();
    for (let at = chosen; at !== undefined; at = parents[at]) onPath.add(at);
    for (const number of drawn.slice(1)) {
      const [x, y] = place(number), [fromX, fromY] = place(parents[number]), start = fromX + WIDTH, middle = (start + x) / 2;
      const curve = "M" + start + " " + (fromY + HEIGHT / 2) + "H" + middle + "V" + (y + HEIGHT / 2) + "H" + x;
      svg.append(svgElement("path", {d: curve, class: onPath.has(number) ? "branch chosen" : "branch"}));
      const answer = nodes[parents[number]].next[0] === number ? "yes" : "no";
      svg.append(svgElement("text", {x: x - 3, y: y + HEIGHT / 2 - 3, "text-anchor": "end", class: "small"}, answer));
    }
    for (const number of drawn) svg.append(box(number, ...place(number)));
    get("picture").replaceChildren(svg);
    get("size").textContent = "The tree has " + count.format((nodes.length + 1) / 2) + " leaves; " + count.format(drawn.length) + " of its " + count.format(nodes.length) + " nodes are open.";
    tell();
  };

  const box = (number, x, y) => {
    const node = nodes[number];
    const state = !node.next ? "leaf" : open.has(number) ? "" : "closed";
    const group = svgElement("g", {
      class: "node " + state + (number === chosen ? " chosen" : ""), transform: "translate(" + x + " " + y + ")",
      tabindex: 0, role: "treeitem", "data-node": number, "aria-selected": number === chosen,
      "aria-level": depths[number] + 1, "aria-label": title(node) + ", " + node.n + " samples, " + likeliest(node),
    });
    if (node.next) group.setAttribute("aria-expanded", open.has(number));
    group.append(svgElement("title", {}, node.next ? node.told[0] + "?" : likeliest(node)));
    group.append(svgElement("rect", {class: "box", width: WIDTH, height: HEIGHT, rx: 4}));
    group.append(svgElement("text", {x: 7, y: 15}, cut(title(node))));
    group.append(svgElement("text", {x: 7, y: 30, class: "small"}, cut("n = " + count.format(node.n) + ": " + likeliest(node))));
    if (run.kind === "probabilities") {
      let from = 0;
      for (const [place, value] of [...node.p].sort((a, b) => a[0] - b[0])) { // a class keeps its colour and side
        const size = value * (WIDTH - 14);
        const fill = COLOURS[place % COLOURS.length];
        group.append(svgElement("rect", {x: 7 + from, y: 35, width: size, height: 5, fill}));
        from += size;
      }
    }
    const choose = () => {
      chosen = number;
      if (node.next && !open.delete(number)) open.add(number);
      redraw();
      get("picture").querySelector("[data-node='" + number + "']").focus({preventScroll: true});
    };
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose();
      }
    });
    return group;
  };

  const openLevels = () => {
    const levels = Number(get("levels").value);
    open = new Set();
    nodes.forEach((node, number) => node.next && depths[number] < levels && open.add(number));
    redraw();
  };

  const listColumns = () => {
    const head = element("tr"), rows = run.columns.map(([name, questions, trees]) => {
      const line = element("tr"), first = element("th", name);
      first.scope = "row";
      line.append(first, element("td", count.format(questions)), element("td", count.format(trees)));
      for (const cell of [...line.children].slice(1)) cell.className = "figures";
      return line;
    });
    head.append(element("th", "Column"), element("th", "Questions"), element("th", "Trees that ask"));
    const [top, body] = [element("thead"), element("tbody")];
    top.append(head);
    body.append(...rows);
    get("columns").replaceChildren(top, body);
    if (run.left) get("columns").append(element("caption", count.format(run.left) + " more columns are asked about less often."));
  };

  const choose = () => {
    run = data.runs[Number(get("run").value)];
    get("told").textContent = run.told;
    listColumns();
    get("tree").replaceChildren(...run.trees.map((_, place) => new Option(place + 1, place)));
    get("which").hidden = run.trees.length < 2;
    get("figure").hidden = get("rules").hidden = get("levels").parentElement.hidden = !run.trees.length;
    if (run.trees.length) chooseTree();
  };

  const chooseTree = () => {
    nodes = run.trees[Number(get("tree").value)];
    [parents, depths, chosen] = [[], [0], 0];
    nodes.forEach((node, number) => (node.next || []).forEach((child) => { // children come after their parents
      parents[child] = number;
      depths[child] = depths[number] + 1;
    }));
    const deepest = depths.reduce((most, depth) => Math.max(most, depth), 0);
    get("levels").replaceChildren(...Array.from({length: deepest + 1}, (_, level) => new Option(level === deepest ? "all " + level : level, level)));
    get("levels").value = Math.min(3, deepest);
    openLevels();
  };
  get("run").append(...data.runs.map((one, place) => new Option(one.name, place)));
  get("run").addEventListener("change", choose);
  get("tree").addEventListener("change", chooseTree);
  get("levels").addEventListener("change", openLevels);
  choose();
})();
