"use strict";
// Runs from disk, offline. Everything a model wrote reaches the page through textContent, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const el = (tag, cls, text) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    if (text !== undefined && text !== null) node.textContent = String(text);
    return node;
  };

  // ---- numbers ----
  const number = (x, digits) => x.toLocaleString("en-GB", { maximumFractionDigits: digits, minimumFractionDigits: digits });
  // As podium_analysis/quantities.py writes them.
  const duration = (ms) => {
    if (ms === null || ms === undefined) return "–";
    if (ms === 0) return "0 ms";
    for (const [limit, factor, unit] of [[0.9995, 1000, "µs"], [999.5, 1, "ms"], [59950, 0.001, "s"]]) {
      const size = ms * factor;
      if (ms < limit) return `${number(size, size < 9.995 ? 2 : size < 99.95 ? 1 : 0)} ${unit}`;
    }
    const whole = Math.round(ms / 1000);
    const two = (x) => String(x).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  };
  const money = (usd) => (usd === null || usd === undefined ? "–" : `$${number(usd, usd >= 1 || usd === 0 ? 2 : Math.min(9, 1 - Math.floor(Math.log10(usd))))}`);

  // ---- sortable tables ----
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const compare = (a, b, sign) => {
    const none = (x) => x === null || x === undefined || x === "";
    if (none(a) || none(b)) return none(a) - none(b); // what is missing stays last, whichever way
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b)));
  };
  const sortState = (header, headers, numeric) => {
    const now = header.getAttribute("aria-sort");
    const next = now === "none" || !now ? (numeric ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
    for (const other of headers) other.setAttribute("aria-sort", other === header ? next : "none");
    return next === "ascending" ? 1 : -1;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headers.forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const numeric = header.classList.contains("num");
        const sign = sortState(header, headers, numeric);
        const key = (row) => {
          const raw = row.cells[column].dataset.sort ?? row.cells[column].textContent;
          return numeric ? (raw === "" ? null : Number(raw)) : raw;
        };
        const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
        rows.sort((a, b) => compare(a[0], b[0], sign));
        table.tBodies[0].append(...rows.map((pair) => pair[1]));
      });
    });
  }

  // What the live page (services/live) draws with.
  window.podium = { el, number, duration, money, compare, sortState };

  // ---- tasks ----
  const indexNode = $("index");
  if (!indexNode) return;
  const index = JSON.parse(indexNode.textContent);
  const column = Object.fromEntries(index.columns.map((name, at) => [name, at]));
  const get = (row, name) => row[column[name]];
  const taskOfRow = (row) => ({
    row,
    key: get(row, "key"),
    outcome: get(row, "outcome"),
    tools: get(row, "tools"),
    text: null,
  });
  const all = index.rows.map(taskOfRow);
  const haystack = (task) => {
    task.text ??= ["task_id", "category", "ending", "error_type", "question", "answer", "gold_answer"]
      .map((name) => get(task.row, name) ?? "")
      .concat(task.outcome, task.tools)
      .join("\n")
      .toLowerCase();
    return task.text;
  };

  const fill = (select, values) => {
    const counts = new Map();
    for (const list of values) for (const value of new Set(list)) counts.set(value, (counts.get(value) ?? 0) + 1);
    const chosen = select.value;
    while (select.options.length > 1) select.remove(1);
    for (const value of [...counts.keys()].sort(collator.compare)) {
      const option = el("option", "", `${value} (${counts.get(value)})`);
      option.value = value;
      select.append(option);
    }
    select.value = chosen;
  };
  const filters = { outcome: $("f-outcome"), tool: $("f-tool"), category: $("f-category") };
  const category = (task) => get(task.row, "category") ?? "none";
  const fillFilters = () => {
    fill(filters.outcome, all.map((task) => [task.outcome]));
    fill(filters.tool, all.map((task) => task.tools));
    fill(filters.category, all.map((task) => [category(task)]));
  };
  fillFilters();

  const sorters = {
    id: (t) => get(t.row, "eid"),
    question: (t) => get(t.row, "question"),
    outcome: (t) => t.outcome,
    tools: (t) => t.tools.length,
    rounds: (t) => get(t.row, "rounds"),
    time: (t) => get(t.row, "duration_ms"),
    cost: (t) => get(t.row, "cost_usd"),
  };

  const rows = $("rows");
  const search = $("search");
  const open = new Map(); // key -> { node, height }
  const nodes = new Map(); // key -> row element now in the page
  let shown = all.slice();
  let place = new Map(); // key -> position in shown
  let sortBy = null;
  let printing = false;
  const lineHeight = () => parseFloat(getComputedStyle(rows).getPropertyValue("--line")) * parseFloat(getComputedStyle(document.documentElement).fontSize);
  let H = lineHeight();

  const openPlaces = () =>
    [...open].filter(([key]) => place.has(key)).map(([key, body]) => [place.get(key), body.height]).sort((a, b) => a[0] - b[0]);
  const layout = () => {
    const opened = openPlaces();
    const offset = (i) => {
      let y = i * H;
      for (const [at, height] of opened) {
        if (at >= i) break;
        y += height;
      }
      return y;
    };
    const at = (y) => {
      let low = 0;
      let high = shown.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (offset(middle + 1) <= y) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    return { offset, at };
  };

  const cell = (line, cls, text) => {
    const node = el("div", cls, text);
    node.setAttribute("role", "cell");
    line.append(node);
    return node;
  };
  const kind = { search: "search", enhance_reasoning: "enhance", answer: "answer" };
  const build = (task) => {
    const { row } = task;
    const node = el("div", "task");
    node.dataset.key = task.key;
    node.setAttribute("role", "none");
    const line = el("div", "line");
    line.setAttribute("role", "row");
    const toggle = el("button", "toggle");
    toggle.type = "button";
    const epoch = get(row, "epoch");
    toggle.append(el("bdi", "", get(row, "task_id") + (index.epochs > 1 ? ` #${epoch}` : "")));
    toggle.setAttribute("aria-expanded", String(open.has(task.key)));
    cell(line, "c-id").append(toggle);
    cell(line, "c-question").append(el("bdi", "", get(row, "question") ?? ""));
    cell(line, "c-outcome").append(el("span", `mark m-${task.outcome}`, task.outcome));
    const mix = cell(line, "c-tools");
    const seq = el("span", "seq");
    seq.setAttribute("role", "img");
    seq.setAttribute("aria-label", task.tools.join(", "));
    seq.title = task.tools.join(" → ");
    for (const tool of task.tools.slice(0, 12)) seq.append(el("i", `k-${kind[tool] ?? "rest"}`));
    mix.append(seq);
    if (task.tools.length > 12) mix.append(` +${task.tools.length - 12}`);
    cell(line, "c-rounds num", get(row, "rounds"));
    cell(line, "c-time num", duration(get(row, "duration_ms")));
    cell(line, "c-cost num", money(get(row, "cost_usd")));
    node.append(line);
    if (open.has(task.key)) {
      node.classList.add("open");
      node.append(open.get(task.key).node);
    }
    return node;
  };

  let scheduled = false;
  let pressed = false; // a press on a row has begun and not ended
  const schedule = () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      render();
    });
  };
  // A click is a press and a release on one element. While a row is pressed no row moves and none is made anew: content
  // of another task that arrives in between, or a search's result, would take the row from under the pointer.
  const released = () => {
    if (!pressed) return;
    pressed = false;
    schedule();
  };
  rows.addEventListener("pointerdown", (event) => (pressed = event.button === 0 && Boolean(event.target.closest(".line"))));
  for (const name of ["pointerup", "pointercancel", "dragend", "blur"]) addEventListener(name, released);
  const PRINT_LIMIT = 400;
  const render = () => {
    if (pressed) return;
    const { offset, at } = layout();
    rows.style.height = `${offset(shown.length)}px`;
    const top = rows.getBoundingClientRect().top;
    let first = Math.max(0, at(Math.max(0, -top)) - 8);
    let last = Math.min(shown.length, at(Math.max(0, innerHeight - top)) + 9);
    if (printing) [first, last] = [0, Math.min(shown.length, PRINT_LIMIT)];
    const wanted = [];
    for (let i = first; i < last; i += 1) wanted.push(i);
    const focused = document.activeElement && document.activeElement.closest ? document.activeElement.closest(".task") : null;
    if (focused && rows.contains(focused)) {
      const i = place.get(focused.dataset.key);
      if (i !== undefined && (i < first || i >= last)) {
        wanted.push(i);
        wanted.sort((a, b) => a - b);
      }
    }
    const keep = new Set(wanted.map((i) => shown[i].key));
    for (const [key, node] of nodes) {
      if (!keep.has(key)) {
        node.remove();
        nodes.delete(key);
      }
    }
    let cursor = rows.firstElementChild;
    for (const i of wanted) {
      const task = shown[i];
      let node = nodes.get(task.key);
      if (!node) {
        node = build(task);
        nodes.set(task.key, node);
      }
      node.style.transform = `translateY(${offset(i)}px)`;
      node.firstElementChild.setAttribute("aria-rowindex", String(i + 2));
      if (node === cursor) cursor = cursor.nextElementSibling;
      else rows.insertBefore(node, cursor);
    }
  };

  const apply = () => {
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const f = { outcome: filters.outcome.value, tool: filters.tool.value, category: filters.category.value };
    shown = all.filter(
      (task) =>
        (!f.outcome || task.outcome === f.outcome) &&
        (!f.tool || task.tools.includes(f.tool)) &&
        (!f.category || category(task) === f.category) &&
        terms.every((term) => haystack(task).includes(term)),
    );
    if (sortBy) shown.sort((a, b) => compare(sorters[sortBy.name](a), sorters[sortBy.name](b), sortBy.sign));
    place = new Map(shown.map((task, i) => [task.key, i]));
    for (const node of nodes.values()) node.remove();
    nodes.clear();
    $("tasks").setAttribute("aria-rowcount", String(shown.length + 1));
    const filtered = shown.length !== all.length;
    $("count").textContent = filtered ? `${number(shown.length, 0)} of ${number(all.length, 0)} tasks` : `${number(all.length, 0)} tasks`;
    const chosen = Object.entries(f).filter(([, value]) => value);
    $("clear").hidden = !(terms.length || chosen.length);
    const where = chosen.map(([name, value]) => `${name} ${value}`).join(", ");
    $("nothing").hidden = shown.length > 0 || !all.length;
    $("nothing").textContent = terms.length
      ? `No task${where ? ` of ${where}` : ""} has ${terms.map((term) => `“${term}”`).join(" and ")} in its id, category, ending, error, outcome or tools, or in the first 1,200 characters of its question and answers. What was said in its turns is not searched.`
      : `No task is of ${where} at once.`;
    render();
  };

  let timer = 0;
  const applySoon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (pressed ? applySoon() : apply()), 120);
  };
  search.addEventListener("input", applySoon);
  for (const select of Object.values(filters)) select.addEventListener("change", apply);
  $("clear").addEventListener("click", () => {
    search.value = "";
    for (const select of Object.values(filters)) select.value = "";
    apply();
    search.focus();
  });
  const heads = [...document.querySelectorAll("#tasks .head [data-sort-by]")];
  for (const head of heads) {
    head.querySelector("button").addEventListener("click", () => {
      sortBy = { name: head.dataset.sortBy, sign: sortState(head, heads, head.classList.contains("num")) };
      apply();
    });
  }

  // ---- chunks of trajectories ----
  const chunks = new Map(); // number -> Promise of a list
  const waiting = new Map(); // number -> { resolve, reject }
  const empty = (x) => x === null || x === "" || (typeof x === "object" && !Object.keys(x).length);
  // Fields without a value are as if they were not there.
  const parse = (text) =>
    JSON.parse(text, function (name, value) {
      return !Array.isArray(this) && empty(value) ? undefined : value;
    });
  window.podiumChunk = (n, text) => {
    const wait = waiting.get(n);
    if (wait) wait.resolve(parse(text));
  };
  const chunk = (n) => {
    if (chunks.has(n)) return chunks.get(n);
    const inline = $(`chunk-${n}`);
    const promise = inline
      ? Promise.resolve(inline).then((node) => parse(node.textContent))
      : new Promise((resolve, reject) => {
          const name = `${index.folder}/${String(n).padStart(4, "0")}.js`;
          waiting.set(n, { resolve, reject });
          const script = el("script");
          script.src = name;
          script.onload = () => reject(new Error(`${name} holds another chunk: the report was built again, reload this page`));
          script.onerror = () => reject(new Error(`${name} did not load: keep the folder ${index.folder} beside this page`));
          document.head.append(script);
        });
    chunks.set(n, promise);
    promise.catch(() => chunks.delete(n));
    return promise;
  };
  const trajectory = async (task) => {
    const n = get(task.row, "chunk");
    if (n === null) throw new Error("this task has no record in tasks/: its events are in the statistics, its content was not kept");
    const record = (await chunk(n))[get(task.row, "at")];
    if (!record || record.key !== task.key) throw new Error("the report was built again since this page was opened: reload it");
    return record;
  };

  // ---- one trajectory ----
  const words = (parent, title, text, cls) => {
    if (text === undefined || text === null || text === "") return;
    if (title) parent.append(el("h4", "", title));
    parent.append(el("div", cls ?? "text", text));
  };
  const fold = (parent, title, text, isOpen) => {
    if (text === undefined || text === null || text === "") return;
    const box = el("details");
    box.open = Boolean(isOpen);
    box.append(el("summary", "", title), el("pre", "", text));
    parent.append(box);
  };
  const PARTS = [
    ["wait_ms", "wait", "wait"],
    ["queue_ms", "queue", "queue"],
    ["prefill_ms", "prefill", "prefill"],
    ["decode_ms", "decode", "decode"],
    ["overhead_ms", "overhead", "overhead"],
    ["tool_ms", null, "tool"],
  ];
  const timings = (turn) => {
    const whole = turn.orchestrator_ms;
    const known = ["queue_ms", "prefill_ms", "decode_ms"].map((name) => turn[name]);
    const times = { ...turn };
    if (whole !== undefined) {
      // Without the server's three parts the call is one piece.
      if (known.every((x) => x !== undefined)) times.overhead_ms = Math.max(0, whole - known[0] - known[1] - known[2]);
      else times.overhead_ms = Math.max(0, whole - known.reduce((sum, x) => sum + (x ?? 0), 0));
    }
    return PARTS.filter(([name]) => times[name] > 0).map(([name, cls, label]) => ({
      ms: times[name],
      cls: cls ?? kind[turn.tool] ?? "rest",
      label: name === "tool_ms" ? turn.tool || "no tool" : name === "overhead_ms" && known.includes(undefined) ? "call, not split by the server" : label,
    }));
  };
  const bar = (record) => {
    const box = el("div");
    const segments = el("div", "segments");
    const turns = record.turns ?? [];
    const sums = new Map();
    let total = 0;
    for (const turn of turns) {
      for (const part of timings(turn)) {
        const piece = el("i", `k-${part.cls}`);
        piece.style.flexGrow = String(part.ms);
        piece.title = `turn ${turn.step}: ${part.label} ${duration(part.ms)}`;
        segments.append(piece);
        const sum = sums.get(part.label) ?? { ms: 0, cls: part.cls };
        sum.ms += part.ms;
        sums.set(part.label, sum);
        total += part.ms;
      }
    }
    const rest = record.duration_ms - total;
    if (rest > 0) {
      const piece = el("i", "k-unexplained");
      piece.style.flexGrow = String(rest);
      piece.title = `not explained by the parts: ${duration(rest)}`;
      segments.append(piece);
      sums.set("unexplained", { ms: rest, cls: "unexplained" });
    }
    const legend = el("ul", "legend");
    const said = [];
    for (const [label, sum] of sums) {
      const item = el("li");
      item.append(el("i", `swatch k-${sum.cls}`), `${label} `, el("b", "", duration(sum.ms)));
      legend.append(item);
      said.push(`${label} ${duration(sum.ms)}`);
    }
    segments.setAttribute("role", "img");
    segments.setAttribute("aria-label", `Time: ${said.join(", ")}`);
    box.append(segments, legend);
    return box;
  };
  const address = (url) => /^https?:\/\//i.test(url ?? "");
  const renderTurn = (turn) => {
    const box = el("article", "turn");
    const head = el("div", "turn-head");
    head.append(el("b", "", `${turn.step}. ${turn.tool || "no tool"}`));
    if (turn.alias || turn.model) head.append(el("bdi", "soft", [turn.alias, turn.model].filter(Boolean).join(" · ")));
    if (turn.status !== "ok") head.append(el("span", "bad", [turn.status, turn.error_type].filter(Boolean).join(": ")));
    box.append(head);
    const times = timings(turn).map((part) => `${part.label} ${duration(part.ms)}`);
    if (turn.prompt_tokens !== undefined) {
      const cached = turn.cached_tokens ? ` (${number(turn.cached_tokens, 0)} cached)` : "";
      times.push(`${number(turn.prompt_tokens, 0)}${cached} → ${turn.completion_tokens === undefined ? "–" : number(turn.completion_tokens, 0)} tokens`);
    }
    box.append(el("div", "times", times.join(" · ")));
    words(box, null, turn.error_message, "text bad");
    fold(box, "orchestrator's reasoning", turn.reasoning);
    words(box, "orchestrator said", turn.content);
    if (turn.arguments && Object.keys(turn.arguments).length) fold(box, "arguments", JSON.stringify(turn.arguments, null, 2));
    words(box, "query", turn.query);
    const documents = turn.documents ?? [];
    if (documents.length) {
      box.append(el("h4", "", `${documents.length} new document${documents.length > 1 ? "s" : ""}`));
      for (const doc of documents) {
        const details = el("details");
        const score = typeof doc.score === "number" ? ` · ${number(doc.score, 3)}` : "";
        const summary = el("summary");
        summary.append(el("bdi", "", `${doc.title ?? doc.id ?? "document"}${score}${doc.source === "web" ? " · web" : ""}`));
        details.append(summary);
        if (address(doc.url)) details.append(el("div", "times", doc.url));
        details.append(el("div", "text", doc.contents ?? doc.content ?? ""));
        box.append(details);
      }
    }
    if (turn.code) {
      box.append(el("h4", "", "code"), el("pre", "", turn.code));
      const exit = turn.exit_code === undefined ? "" : `, exit ${turn.exit_code}`;
      if (turn.stdout || turn.stderr || turn.exec_status) box.append(el("h4", "", `output${turn.exec_status ? ` (${turn.exec_status}${exit})` : ""}`));
      if (turn.stdout) box.append(el("pre", "", turn.stdout));
      if (turn.stderr) box.append(el("pre", "bad", turn.stderr));
    }
    if (turn.result) box.append(el("h4", "", "result"), el("pre", "", turn.result));
    fold(box, "expert's full text", turn.response);
    return box;
  };
  const renderRecord = (record) => {
    const box = el("div");
    const facts = [
      record.category,
      record.subject === record.category ? null : record.subject,
      record.answer_type,
      `ending ${record.ending}`,
      duration(record.duration_ms),
      record.cost_usd === undefined ? "cost unknown" : money(record.cost_usd) + (record.n_unpriced ? ` + ${record.n_unpriced} calls of unknown price` : ""),
      record.invalid_turns ? `${record.invalid_turns} invalid turns` : null,
      record.attempts > 1 ? `${record.attempts} attempts` : null,
      record.segment > 1 ? `segment ${record.segment}` : null,
      record.has_image ? "has an image" : null,
    ].filter(Boolean);
    box.append(el("div", "times", facts.join(" · ")));
    words(box, "question", record.question);
    const pair = el("div", "pair");
    for (const [title, value] of [["answer given", record.answer ?? "none"], ["gold answer", record.gold_answer]]) {
      const side = el("div");
      words(side, title, value);
      pair.append(side);
    }
    box.append(pair);
    if (record.error_type || record.error_message) words(box, "error", [record.error_type, record.error_message].filter(Boolean).join(": "), "text bad");
    fold(box, "traceback", record.traceback);
    box.append(el("h4", "", "time, in order"), bar(record));
    for (const turn of record.turns ?? []) box.append(renderTurn(turn));
    (record.judgements ?? []).forEach((j, n) => {
      const verdict = j.correct === undefined ? "no verdict" : j.correct ? "correct" : "wrong";
      const judge = el("article", "turn");
      const head = el("div", "turn-head");
      head.append(el("b", "", n ? `Judgement ${n + 1} (rejudged)` : "Judgement"));
      head.append(el("span", j.correct ? "good" : "bad", verdict));
      const confidence = j.confidence === undefined ? null : `confidence ${j.confidence} %${j.confidence_stated === false ? " (not stated: the protocol's default)" : ""}`;
      head.append(el("bdi", "soft", [j.protocol, j.method, j.model, confidence].filter(Boolean).join(" · ")));
      judge.append(head);
      words(judge, "extracted answer", j.extracted_answer);
      words(judge, "reasoning", j.reasoning);
      if (j.error_type || j.error_message) words(judge, "error", [j.error_type, j.error_message].filter(Boolean).join(": "), "text bad");
      box.append(judge);
    });
    fold(box, "answering expert's full text", record.answer_text);
    return box;
  };

  const observer = new ResizeObserver((entries) => {
    let moved = false;
    for (const entry of entries) {
      const body = open.get(entry.target.dataset.key);
      const height = entry.target.offsetHeight;
      if (body && height && Math.abs(body.height - height) > 0.5) {
        body.height = height;
        moved = true;
      }
    }
    if (moved) schedule();
  });
  const setOpen = (task, on) => {
    const node = nodes.get(task.key);
    if (on && !open.has(task.key)) {
      const body = el("div", "body");
      body.dataset.key = task.key;
      body.setAttribute("role", "row");
      const inner = el("div", "", "");
      inner.setAttribute("role", "cell");
      inner.append(el("p", "soft", "Loading…"));
      body.append(inner);
      const loaded = trajectory(task).then(
        (record) => {
          inner.replaceChildren(renderRecord(record));
          window.podium.shown?.(inner, record);
        },
        (error) => inner.replaceChildren(el("p", "bad", error.message)),
      );
      open.set(task.key, { node: body, height: 0, loaded });
      observer.observe(body);
      if (node) node.append(body);
      history.replaceState(null, "", `#task-${encodeURIComponent(task.key)}`);
    } else if (!on && open.has(task.key)) {
      const body = open.get(task.key).node;
      observer.unobserve(body);
      body.remove();
      open.delete(task.key);
    }
    if (node) {
      node.classList.toggle("open", on);
      node.querySelector(".toggle").setAttribute("aria-expanded", String(on));
    }
    schedule();
    return open.get(task.key)?.loaded;
  };
  const taskOf = (node) => shown[place.get(node.closest(".task").dataset.key)];
  rows.addEventListener("click", (event) => {
    if (!event.target.closest(".line")) return;
    const task = taskOf(event.target);
    setOpen(task, !open.has(task.key));
  });
  rows.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("toggle")) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    const at = place.get(event.target.closest(".task").dataset.key);
    let to = step === undefined ? undefined : at + step;
    if (event.key === "Home") to = 0;
    if (event.key === "End") to = shown.length - 1;
    if (to === undefined) return;
    event.preventDefault();
    focusRow(Math.min(shown.length - 1, Math.max(0, to)));
  });
  const rowTop = (i) => rows.getBoundingClientRect().top + layout().offset(i);
  const focusRow = (i) => {
    const top = rowTop(i);
    const margin = 3 * H;
    if (top < margin) scrollBy(0, top - margin);
    else if (top + H > innerHeight - H) scrollBy(0, top + H - innerHeight + H);
    render();
    nodes.get(shown[i].key).querySelector(".toggle").focus({ preventScroll: true });
  };
  const toTop = (i) => {
    render();
    scrollBy(0, rowTop(i) - document.querySelector("nav.page").offsetHeight);
    render();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    $("tasks-section").scrollIntoView();
    search.focus({ preventScroll: true });
  });

  const taskKey = (hash) => {
    try {
      return hash.startsWith("#task-") ? decodeURIComponent(hash.slice(6)) : null;
    } catch {
      return null; // no address that this page wrote
    }
  };
  // Opens the task that the address names, its line at the top of the window.
  const follow = (hash) => {
    const key = taskKey(hash);
    if (!all.some((task) => task.key === key)) return;
    if (!place.has(key)) {
      search.value = "";
      for (const select of Object.values(filters)) select.value = "";
      apply();
    }
    const i = place.get(key);
    toTop(i);
    const loaded = setOpen(shown[i], true);
    nodes.get(key).querySelector(".toggle").focus({ preventScroll: true });
    // Only the content of the last tasks makes the page long enough for their lines to stand at the top.
    loaded.then(() => requestAnimationFrame(() => requestAnimationFrame(() => place.has(key) && toTop(place.get(key)))));
  };
  addEventListener("hashchange", () => follow(location.hash));
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#task-"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // a second click on the same link changes no address
    history.pushState(null, "", link.getAttribute("href"));
    follow(link.getAttribute("href"));
  });
  addEventListener("scroll", schedule, { passive: true });
  addEventListener("resize", () => {
    H = lineHeight();
    schedule();
  });
  addEventListener("beforeprint", () => {
    printing = true;
    $("print-note").hidden = shown.length <= PRINT_LIMIT;
    render();
  });
  addEventListener("afterprint", () => {
    printing = false;
    render();
  });
  if (taskKey(location.hash) !== null) history.scrollRestoration = "manual";
  // Rows of a run that is on: of a task that has one already it is replaced.
  const addRows = (added) => {
    const old = new Map(all.map((task, i) => [task.key, i]));
    for (const row of added) {
      const task = taskOfRow(row);
      const i = old.get(task.key);
      if (i === undefined) {
        old.set(task.key, all.length);
        all.push(task);
      } else all[i] = task;
    }
    fillFilters();
    apply();
  };
  Object.assign(window.podium, { renderRecord, addRows });
  apply();
  follow(location.hash);
  document.documentElement.dataset.ready = "true";
})();
