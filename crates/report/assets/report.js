// Tables that sort, and numbers that copy. The page can be read without it.
(() => {
  "use strict";
  const said = document.createElement("output");
  said.className = "said";
  said.setAttribute("aria-live", "polite");
  document.body.append(said);
  let timer = 0;
  const say = (text) => {
    said.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => { said.textContent = ""; }, 2500);
  };

  // The way of browsers that keep the clipboard from a page of a file.
  const copyBySelection = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.readOnly = true;
    area.className = "said";
    document.body.append(area);
    area.select();
    let copied = false;
    try { copied = document.execCommand("copy"); } catch { copied = false; }
    area.remove();
    return copied;
  };

  const copy = async (text, name) => {
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      copied = copyBySelection(text);
    }
    say(copied ? `copied ${name}` : `this browser does not let a page copy: ${name}`);
  };

  const exact = (element) => element.getAttribute("value") ?? element.dataset.v ?? element.textContent;

  document.documentElement.classList.add("copies");
  document.addEventListener("click", (event) => {
    const number = event.target instanceof Element && event.target.closest(".n");
    if (number && String(getSelection()) === "") {
      copy(exact(number), exact(number));
    }
  });

  const sortKey = (cell) => {
    if (cell.dataset.v !== undefined) {
      return Number(cell.dataset.v);
    }
    return cell.classList.contains("none") ? undefined : cell.textContent;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") {
      return a - b;
    }
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sort = (table, heads, column) => {
    const head = heads[column];
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) {
      other.setAttribute("aria-sort", "none");
    }
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => [sortKey(row.cells[column]), row]);
    // Cells of which nothing is known come last in both directions.
    rows.sort(([a], [b]) => {
      if (a === undefined || b === undefined) {
        return (a === undefined) - (b === undefined);
      }
      return sign * compare(a, b);
    });
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, heads, column));
      head.append(button);
      head.setAttribute("aria-sort", "none");
    });
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy this table";
    button.setAttribute("aria-label", `Copy this table: ${table.caption.textContent}`);
    button.addEventListener("click", () => {
      const line = (row) => Array.from(row.cells, (cell) => exact(cell).replace(/\s+/g, " ")).join("\t");
      copy(Array.from(table.rows, line).join("\n"), "the table");
    });
    table.parentElement.after(button);
  }
})();
