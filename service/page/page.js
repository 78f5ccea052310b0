// What /calls and /metrics say, twice a second: a row for each call, a count on each state.
"use strict";

const EVERY_MS = 500, PATIENCE_MS = 5000;
const SVG = "http://www.w3.org/2000/svg";

// Figures of the header: name, metric, unit, and whether anything above zero is bad.
const FIGURES = [
  ["calls", "callfsm_calls_active"],
  ["contexts busy", 'callfsm_inference_contexts{state="busy"}'],
  ["contexts failed", 'callfsm_inference_contexts{state="failed"}', "", true],
  ["windows waiting", "callfsm_inference_queue"],
  ["longest wait", "callfsm_inference_wait_max_seconds", " s"],
  ["words", "callfsm_words_total"],
  ["refused", "callfsm_calls_refused_total", "", true],
  ["windows lost", 'callfsm_notes_total{what="window_lost"}', "", true],
  ["texts not delivered", "callfsm_texts_undelivered_total", "", true],
  ["faults", "callfsm_calls_crashed_total", "", true],
];

let chosen = null; // the call whose state the diagram shows

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Prometheus' text: the value of each sample by its name with labels, and of all labels together.
function samples(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    const at = line.lastIndexOf(" ");
    if (at < 0 || line.startsWith("#")) continue;
    const name = line.slice(0, at), bare = name.split("{")[0];
    values.set(name, Number(line.slice(at)));
    if (bare !== name) values.set(bare, (values.get(bare) ?? 0) + Number(line.slice(at)));
  }
  return values;
}

function showFigures(values) {
  const shown = FIGURES.map(([name, metric, unit = "", isBad = false]) => {
    const value = values.get(metric) ?? 0;
    const figure = element("div");
    const text = Number.isInteger(value) ? String(value) : value.toFixed(2);
    figure.append(element("dt", name), element("dd", text + unit, isBad && value > 0 ? "bad" : ""));
    return figure;
  });
  document.getElementById("figures").replaceChildren(...shown);
}

function row(call) {
  const made = element("tr", "", call.state);
  made.dataset.call = call.call_id;
  made.classList.toggle("chosen", call.call_id === chosen);
  const text = element("div", call.text, "text");
  if (call.tentative) text.append(" ", element("span", call.tentative, "tentative"));
  const cell = element("td");
  cell.append(text);
  made.append(
    element("td", call.call_id),
    element("td", call.state),
    element("td", `${call.heard_s.toFixed(1)} s`),
    element("td", `${call.buffered_s.toFixed(1)} s`),
    element("td", call.words),
    cell,
  );
  return made;
}

function showCalls(calls) {
  document.querySelector("tbody").replaceChildren(...calls.map(row));
  document.getElementById("nobody").hidden = calls.length > 0;
}

function showStates(calls) {
  const counts = new Map();
  for (const { state } of calls) counts.set(state, (counts.get(state) ?? 0) + 1);
  const current = calls.find((call) => call.call_id === chosen)?.state;
  for (const state of document.querySelectorAll("#machine .state")) {
    const name = state.id.replace("state-", "");
    state.classList.toggle("current", name === current);
    state.querySelectorAll(".count-disc, .count").forEach((old) => old.remove());
    const count = counts.get(name);
    if (!count) continue;
    const box = state.querySelector("rect");
    const x = Number(box.getAttribute("x")) + Number(box.getAttribute("width"));
    const y = Number(box.getAttribute("y"));
    state.append(
      drawn("circle", { class: "count-disc", cx: x, cy: y, r: 15 }),
      drawn("text", { class: "count", x, y: y + 5, "text-anchor": "middle" }, count),
    );
  }
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

async function fetched(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

async function refresh() {
  const trouble = document.getElementById("trouble");
  try {
    if (!document.querySelector("#machine svg")) await showMachine();
    const [calls, metrics] = await Promise.all([fetched("calls"), fetched("metrics")]);
    const now = await calls.json();
    showFigures(samples(await metrics.text()));
    showCalls(now);
    showStates(now);
    trouble.hidden = true;
  } catch (error) {
    trouble.textContent = `The server does not answer (${error.message}); what stands here is old.`;
    trouble.hidden = false;
  }
}

async function showMachine() {
  const diagram = await (await fetched("call.svg")).text();
  const parsed = new DOMParser().parseFromString(diagram, "image/svg+xml");
  document.getElementById("machine").replaceChildren(document.importNode(parsed.documentElement, true));
}

async function main() {
  // Not "click": the row that was pressed may be replaced before it is let go.
  document.querySelector("tbody").addEventListener("pointerdown", (event) => {
    const row = event.target.closest("tr");
    if (!row) return;
    const id = Number(row.dataset.call);
    chosen = chosen === id ? null : id;
    refresh();
  });
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((wake) => setTimeout(wake, EVERY_MS));
  }
}

main();
