"use strict";
// The live pages: what changes is pushed and set as text, never as markup. Draws with page.js, the report's own script.
(() => {
  const { el, number, duration, compare, sortState, renderRecord, addRows } = window.podium;
  const $ = (id) => document.getElementById(id);
  const run = document.body.dataset.run;

  // ---- keeping what has not changed: focus, selection and scroll stay where they are ----
  const shown = new WeakMap(); // element -> what it shows, as JSON
  const changed = (node, value) => {
    const text = JSON.stringify(value);
    if (shown.get(node) === text) return false;
    shown.set(node, text);
    return true;
  };
  const own = (href) => typeof href === "string" && /^\/[^/\\]/.test(href);

  // ---- the report's parts ----
  const fillCell = (node, cell) => {
    if (!changed(node, cell)) return;
    node.dataset.sort = cell.sort;
    const link = node.querySelector("a");
    if (link && own(cell.href) && link.getAttribute("href") === cell.href) link.textContent = cell.text;
    else if (own(cell.href)) {
      const made = el("a", "", cell.text);
      made.href = cell.href;
      node.replaceChildren(made);
    } else node.replaceChildren(el("bdi", "", cell.text));
    node.title = cell.text.length > 20 ? cell.text : "";
  };
  const sorted = new Map(); // table id -> { column, sign }
  const drawTable = (parent, table) => {
    let box = $(`t-${table.id}`);
    if (!box) {
      box = el("div");
      box.id = `t-${table.id}`;
      const scroll = el("div", "scroll");
      scroll.tabIndex = 0;
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", table.title);
      const made = el("table");
      made.append(el("thead"), el("tbody"));
      scroll.append(made);
      if (table.title) box.append(el("h3", "", table.title));
      box.append(scroll);
      const head = el("tr");
      table.columns.forEach((column, at) => {
        const cell = el("th", column.numeric ? "num" : "");
        cell.scope = "col";
        cell.setAttribute("aria-sort", "none");
        const button = el("button", "sort", column.name);
        button.type = "button";
        button.addEventListener("click", () => {
          sorted.set(table.id, { column: at, sign: sortState(cell, [...head.cells], column.numeric) });
          order(box, table.columns);
        });
        cell.append(button);
        head.append(cell);
      });
      made.tHead.append(head);
      parent.append(box);
    }
    const body = box.querySelector("tbody");
    const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    const rows = table.rows.map((cells) => {
      const key = cells[0].text;
      let row = old.get(key);
      old.delete(key);
      if (!row) {
        row = el("tr");
        row.dataset.key = key;
        cells.forEach((_, at) => {
          const column = table.columns[at];
          const cell = el(at ? "td" : "th", column.numeric ? "num" : column.wide ? "wide" : "");
          if (!at) cell.scope = "row";
          row.append(cell);
        });
      }
      cells.forEach((cell, at) => fillCell(row.cells[at], cell));
      return row;
    });
    for (const row of old.values()) row.remove();
    rows.forEach((row, at) => {
      row.dataset.place = at;
      if (!row.isConnected) body.append(row);
    });
    order(box, table.columns);
  };
  const order = (box, columns) => {
    const by = sorted.get(box.id.slice(2));
    const body = box.querySelector("tbody");
    const rows = [...body.rows];
    const wanted = rows.slice().sort((a, b) => {
      if (!by) return a.dataset.place - b.dataset.place;
      const key = (row) => {
        const raw = row.cells[by.column].dataset.sort;
        return columns[by.column].numeric ? (raw === "" ? null : Number(raw)) : raw;
      };
      return compare(key(a), key(b), by.sign);
    });
    wanted.forEach((row, at) => {
      if (body.rows[at] !== row) body.insertBefore(row, body.rows[at]);
    });
  };
  const svg = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const drawBar = (parent, title, pieces, note) => {
    if (!changed(parent, pieces)) return;
    parent.replaceChildren();
    if (!pieces.length) return;
    const said = pieces.map((piece) => `${piece.label} ${piece.value}, ${piece.percent}`).join("; ");
    const bar = svg("svg", { class: "bar", role: "img", "aria-label": `${title}: ${said}` });
    const legend = el("ul", "legend");
    for (const piece of pieces) {
      bar.append(svg("rect", { class: `k-${piece.kind}`, x: `${piece.x}%`, y: 0, width: `${piece.width}%`, height: "100%" }));
      const item = el("li");
      item.append(el("i", `swatch k-${piece.kind}`), `${piece.label} `, el("b", "", piece.value), ` ${piece.percent}`);
      legend.append(item);
    }
    parent.append(el("h3", "", title), bar, legend);
    if (note) parent.append(el("p", "soft", note));
  };
  const drawFacts = (parent, facts) => {
    if (!changed(parent, facts)) return;
    parent.replaceChildren(
      ...facts.map((fact) => {
        const box = el("div", "fact");
        const value = el("dd");
        value.append(el("span", `value ${fact.tone}`.trim(), fact.value));
        if (fact.detail) value.append(el("span", "detail", fact.detail));
        box.append(el("dt", "", fact.label), value);
        return box;
      }),
    );
  };
  const drawScore = (parent, score) => {
    if (!changed(parent, score)) return;
    parent.replaceChildren(el("div", "label", score.label), el("div", "value", score.value), ...score.details.map((line) => el("p", "soft", line)));
  };
  const drawLoad = (parent, series) => {
    if (!changed(parent, series)) return;
    parent.replaceChildren();
    if (!series.length) return;
    const figures = el("div", "figures");
    for (const one of series) {
      const top = Math.max(...one.values.filter((x) => x !== null), 1e-9);
      const step = one.values.length > 1 ? 100 / (one.values.length - 1) : 0;
      const points = one.values.map((x, at) => (x === null ? null : `${(at * step).toFixed(2)},${(20 - (18 * x) / top).toFixed(2)}`));
      const last = one.values.at(-1);
      const words = `${one.label}: now ${last === null ? "not known" : number(last, one.digits)}, at most ${number(top, one.digits)}`;
      const drawing = svg("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img", "aria-label": words });
      drawing.append(svg("polyline", { points: points.filter((x) => x !== null).join(" ") }));
      const figure = el("figure");
      figure.append(drawing, el("figcaption", "soft", words));
      figures.append(figure);
    }
    parent.append(el("h3", "", "Load over the last samples"), figures);
  };
  const state = (text, tone) => {
    const node = $("state");
    if (node.textContent !== text) node.textContent = text;
    node.className = tone ?? "";
  };

  // ---- all runs ----
  const WORDS = { half_width: "half width reached" };
  let runs = [];
  const drawRuns = () => {
    const terms = $("run-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = $("run-state").value;
    const some = runs.filter((one) => (!wanted || one.state === wanted) && terms.every((term) => `${one.run_id}\n${one.state}`.toLowerCase().includes(term)));
    const columns = [["run", false], ["state", false], ["ended", true], ["progress", true], ["accuracy", true], ["cost", true], ["last event", true]];
    drawTable($("runs"), {
      id: "runs",
      title: "",
      columns: columns.map(([name, numeric]) => ({ name, numeric, wide: false })),
      rows: some.map((one) => {
        const share = one.n_tasks ? one.n_ended / one.n_tasks : null;
        const cell = (text, sort, href) => ({ text, sort: sort === null || sort === undefined ? "" : String(sort), href: href ?? "" });
        return [
          cell(one.run_id, one.run_id, `/runs/${encodeURIComponent(one.run_id)}`),
          cell(WORDS[one.state] ?? one.state, one.state),
          cell(one.n_tasks === null ? number(one.n_ended, 0) : `${number(one.n_ended, 0)} of ${number(one.n_tasks, 0)}`, one.n_ended),
          cell(share === null ? "–" : `${number(100 * share, 0)} %`, share),
          cell(one.accuracy === null ? "–" : `${number(one.accuracy, 1)} %`, one.accuracy),
          cell(window.podium.money(one.usd), one.usd),
          cell(`${one.age} ago`, one.place),
        ];
      }),
    });
    $("t-runs").querySelector(".scroll").setAttribute("aria-label", "Runs");
    const text = some.length === runs.length ? `${number(runs.length, 0)} runs` : `${number(some.length, 0)} of ${number(runs.length, 0)} runs`;
    if ($("run-count").textContent !== text) $("run-count").textContent = text;
  };
  const options = (select, values) => {
    if (!changed(select, values)) return;
    const chosen = select.value;
    const kept = select.querySelector('option[value=""]');
    select.replaceChildren(...(kept ? [kept] : []), ...values.map((value) => Object.assign(el("option", "", value), { value })));
    if (values.includes(chosen)) select.value = chosen;
  };
  const onRuns = (data) => {
    runs = data.runs.map((one, place) => ({ ...one, place }));
    options($("run-state"), [...new Set(runs.map((one) => one.state))].sort());
    for (const id of ["run-a", "run-b"]) options($(id), runs.map((one) => one.run_id));
    drawRuns();
    state(runs.some((one) => one.state === "running") ? "a run is on" : "no run is on", "");
  };

  // ---- one run ----
  let rows = 0;
  let asking = false;
  const moreRows = async (wanted) => {
    if (asking || rows >= wanted) return;
    asking = true;
    try {
      while (rows < wanted) {
        const answer = await fetch(`/runs/${run}/rows?start=${rows}`);
        if (!answer.ok) break;
        const data = await answer.json();
        if (data.end <= rows) break;
        addRows(data.rows);
        rows = data.end;
      }
    } finally {
      asking = false;
    }
  };
  const onRun = (data) => {
    state(`${WORDS[data.state] ?? data.state}; ${number(data.n_events, 0)} events read`, data.tone);
    $("notes").hidden = !data.n_bad;
    if (data.n_bad) $("notes").replaceChildren(el("li", "", `${number(data.n_bad, 0)} lines of the log could not be read.`));
    drawScore($("score"), data.score);
    drawFacts($("facts"), data.facts);
    drawBar($("outcomes"), "Outcomes", data.outcomes);
    drawBar($("time"), "Where the time went", data.time, data.time_note);
    drawLoad($("load"), data.load);
    const known = new Set(data.tables.map((table) => `t-${table.id}`));
    for (const box of [...$("tables").children]) if (!known.has(box.id)) box.remove();
    for (const table of data.tables) drawTable($("tables"), table);
    if ($("controls")) {
      $("controls").hidden = !data.controls;
      options($("c-providers"), data.providers);
    }
    if (data.n_rows < rows) location.reload(); // another run under the same name
    moreRows(data.n_rows);
  };
  window.podium.shown = (box, record) => {
    const link = el("a", "", "this task on a page of its own, long texts whole");
    link.href = `/runs/${run}/tasks/${encodeURIComponent(record.key)}`;
    box.prepend(link);
  };
  const act = async (button) => {
    const name = button.dataset.act;
    const request = { act: name };
    if (name === "concurrency" || name === "limit") request.n = Number($("c-n").value);
    if (name === "limit") request.provider = $("c-provider").value;
    if (name === "cancel" || name === "requeue") request.task = $("c-task").value;
    if (name === "stop" && !confirm("Stop the run? Turns in flight end; the same command goes on from there.")) return;
    button.disabled = true;
    try {
      const answer = await fetch(`/runs/${run}/control`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) });
      const reply = await answer.json();
      $("acted").textContent = reply.done ?? (typeof reply.detail === "string" ? reply.detail : "not a request that a run takes: a number or a name is missing");
      $("acted").className = answer.ok ? "" : "bad";
    } catch (error) {
      $("acted").textContent = `the page's service does not answer (${error.message})`;
      $("acted").className = "bad";
    } finally {
      button.disabled = false;
    }
  };

  // ---- one task ----
  const empty = (x) => x === null || x === "" || (typeof x === "object" && !Object.keys(x).length);
  const plain = (value) => JSON.parse(JSON.stringify(value), function (name, x) { return !Array.isArray(this) && empty(x) ? undefined : x; });
  let landed = 0; // when the newest record came, by performance.now()
  let flight = null;
  const tick = () => {
    const text = flight ? `In flight for ${duration(flight.age_ms + performance.now() - landed)}: turn ${flight.step}, ${flight.doing}.` : "";
    const node = $("flight");
    if (node.firstChild?.nodeValue !== text) node.replaceChildren(text);
  };
  const onTask = (data) => {
    const record = plain(data.record);
    landed = performance.now();
    flight = record.in_flight ?? null;
    state(flight ? "in flight" : record.status === undefined ? data.state : `${record.status}, ${record.ending}`, flight ? "good" : "");
    const heading = document.querySelector("h1").lastChild;
    if (heading.nodeValue !== record.task_id) heading.nodeValue = record.task_id;
    if (flight) {
      record.ending = "not yet";
      record.answer = record.answer ?? "not yet";
    }
    const fresh = renderRecord(record);
    const box = $("record");
    const inner = box.firstElementChild;
    if (!inner) box.replaceChildren(fresh);
    else {
      // Only what differs is replaced: what is unfolded or selected stays so.
      const [before, after] = [[...inner.childNodes], [...fresh.childNodes]];
      after.forEach((node, at) => {
        if (!before[at]) inner.append(node);
        else if (before[at].textContent !== node.textContent || before[at].nodeName !== node.nodeName) before[at].replaceWith(node);
      });
      for (const node of before.slice(after.length)) node.remove();
    }
    const cuts = Object.entries(data.cuts);
    $("cuts").hidden = !cuts.length;
    if (changed($("cuts"), cuts)) {
      $("cuts").replaceChildren(
        ...cuts.map(([place, chars]) => {
          const link = el("a", "", `${place.replace(/^turns\.(\d+)\./, (_, n) => `turn ${Number(n) + 1}, `)}: all ${number(chars, 0)} characters`);
          link.href = `${location.pathname}/text?at=${encodeURIComponent(place)}`;
          const item = el("li");
          item.append(link);
          return item;
        }),
      );
    }
    tick();
  };

  // ---- the stream ----
  const onData = $("run-search") ? onRuns : $("record") ? onTask : onRun;
  const stream = new EventSource(document.body.dataset.stream);
  stream.onmessage = (event) => {
    const data = JSON.parse(event.data);
    if (data.gone) state("it is not there (any more)", "bad");
    else if (data.failed) state("its files could not be read: the service's log tells why", "bad");
    else onData(data);
    document.documentElement.dataset.live = String(Date.now());
  };
  stream.onerror = () => state("the page's service does not answer: what is shown is old; trying again", "bad");
  if ($("run-search")) {
    $("run-search").addEventListener("input", drawRuns);
    $("run-state").addEventListener("change", drawRuns);
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
      event.preventDefault();
      $("run-search").focus();
    });
  }
  if ($("record")) setInterval(tick, 1000);
  $("controls")?.addEventListener("click", (event) => event.target.closest("[data-act]") && act(event.target.closest("[data-act]")));
  $("controls")?.addEventListener("submit", (event) => event.preventDefault());
})();
