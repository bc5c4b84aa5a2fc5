// Tables sort by a column: numbers by value, missing values last.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const value = (row, place) => row.cells[place].textContent.trim();
  const number = (text) => parseFloat(text.replace(/,/g, ""));
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const isFigures = head.classList.contains("figures");
      const rows = [...body.rows].map((row) => [row, isFigures ? number(value(row, place)) : value(row, place)]);
      const missing = (entry) => isFigures && Number.isNaN(entry[1]);
      rows.sort((a, b) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b); // last in both directions
        const order = isFigures ? a[1] - b[1] : a[1].localeCompare(b[1], undefined, {numeric: true});
        return down ? -order : order;
      });
      body.append(...rows.map((entry) => entry[0]));
    });
  });
}
// a closed section would be missing on paper, and a link to it would show only its heading
window.addEventListener("beforeprint", () => {
  for (const section of document.querySelectorAll("details.section")) section.open = true;
});
window.addEventListener("hashchange", () => {
  const section = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (section instanceof HTMLDetailsElement) section.open = true;
});
