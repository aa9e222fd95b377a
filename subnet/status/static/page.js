"use strict";

// Draws /status.json. Everything from outside enters the document as text, never as markup.

const POLL_MS = 1000;
const RETRY_MS = 3000;
const STALE_S = 15;
const SERIES = 8;
const BANDS = 16;
// The address of 32 zero bytes: an entry about no miner.
const NOBODY = "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM";
const LEDGER_ROWS = 50;
// Validators keep about this many points of a test, the newest.
const HISTORY_KEPT = 300;
const SVG = "http://www.w3.org/2000/svg";

const drawn = new Map();
let chosen = Math.max(0, Number.parseInt(location.hash.slice(1), 10) || 0);
let latest = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  return made;
}

function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  return made;
}

// Rebuilds a part of the page only when what it shows has changed, so that focus and selection survive polling.
function draw(id, data, build) {
  const key = JSON.stringify(data);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  document.querySelector(id).replaceChildren(...build(data));
}

function fixed(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US");
}

function short(hotkey) {
  return hotkey.length > 14 ? `${hotkey.slice(0, 6)}…${hotkey.slice(-4)}` : hotkey;
}

function nameOf(hotkey, labels) {
  return labels[hotkey] || short(hotkey);
}

function verdictOf(miner) {
  return ["consistent", "inconsistent", "abstain"].includes(miner.verdict) ? miner.verdict : "unchecked";
}

function verdictText(miner) {
  const sign = { consistent: "✓", inconsistent: "✗", abstain: "–", unchecked: "·" }[verdictOf(miner)];
  const standing = ["good", miner.verdict].includes(miner.standing) ? "" : `, ${miner.standing}`;
  return `${sign} ${miner.verdict}${standing}`;
}

function facts(snapshot) {
  const left = snapshot.next_epoch_block === null ? null : Math.max(0, snapshot.next_epoch_block - snapshot.block);
  const rows = [
    ["block", count(snapshot.block)],
    ["next epoch in", left === null ? "–" : `${count(left)} blocks`],
    ["weights set at", snapshot.last_weights_block === null ? "not yet" : count(snapshot.last_weights_block)],
    ["round", count(snapshot.round)],
    ["a round takes", snapshot.round_s === null ? "–" : `${fixed(snapshot.round_s, 1)} s`],
  ];
  return rows.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value)));
}

function meter(miner) {
  const share = Math.min(Math.max((miner.evidence ?? 0) / miner.threshold, 0), 1);
  return shape(
    "svg",
    { class: "meter", viewBox: "0 0 80 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("rect", { class: "track", width: 80, height: 8, rx: 3 }),
    shape("rect", { class: `fill ${verdictOf(miner)}`, width: 80 * share, height: 8, rx: 3 }),
  );
}

function minerRows({ miners, labels }) {
  if (!miners.length) return [emptyRow(11, "No miner has been seen yet.")];
  return miners.map((miner) => {
    const number = (text) => element("td", { class: "number" }, text);
    const verdict = element("td", { class: verdictOf(miner) }, verdictText(miner));
    if (miner.reason) verdict.title = miner.reason;
    return element(
      "tr",
      {},
      number(String(miner.uid)),
      element("th", { scope: "row" }, nameOf(miner.hotkey, labels), hotkeyLine(miner.hotkey, labels)),
      number(`${count(miner.answered)} / ${count(miner.requests)}`),
      number(fixed(miner.tokens_per_second, 1)),
      number(fixed(miner.score, 3)),
      number(count(miner.checked_tokens)),
      element("td", {}, meter(miner), `${fixed(miner.evidence, 1)} / ${fixed(miner.threshold, 0)}`),
      verdict,
      number(fixed(miner.weight, 3)),
      number(fixed(miner.incentive, 3)),
      number(fixed(miner.stake, 3)),
    );
  });
}

function hotkeyLine(hotkey, labels) {
  return labels[hotkey] ? element("span", { class: "hotkey", title: hotkey }, short(hotkey)) : "";
}

function emptyRow(columns, text) {
  return element("tr", {}, element("td", { colspan: columns, class: "empty" }, text));
}

function testFigure(miner, labels, last) {
  const [width, height, left, right, top, bottom] = [320, 130, 26, 10, 12, 18];
  const points = miner.history.filter(([, evidence]) => evidence !== null);
  // Every test starts with no evidence; without this a first answer would be a dot in the air.
  if (points.length && points[0][0] > 0 && miner.history.length < HISTORY_KEPT) points.unshift([0, 0]);
  const ceiling = miner.threshold + 1;
  const x = (tokens) => left + ((width - left - right) * tokens) / Math.max(last, 1);
  const y = (evidence) => top + (height - top - bottom) * (1 - Math.min(Math.max(evidence, 0), ceiling) / ceiling);
  const verdict = verdictOf(miner);
  const name = nameOf(miner.hotkey, labels);
  const svg = shape(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": testSummary(miner, name) },
    shape("line", { class: "axis", x1: left, x2: width - right, y1: y(0), y2: y(0) }),
    shape("line", { class: "threshold", x1: left, x2: width - right, y1: y(miner.threshold), y2: y(miner.threshold) }),
    shape("text", { class: "threshold-label", x: left - 5, y: y(miner.threshold) + 4, "text-anchor": "end" },
      fixed(miner.threshold, 0)),
    shape("text", { x: left - 5, y: y(0) + 4, "text-anchor": "end" }, "0"),
    shape("text", { x: width - right, y: height - 4, "text-anchor": "end" }, last ? `${count(last)} tokens` : "tokens"),
  );
  if (points.length) {
    const path = points.map(([tokens, evidence]) => `${x(tokens).toFixed(1)},${y(evidence).toFixed(1)}`).join(" ");
    const [tokens, evidence] = points[points.length - 1];
    svg.append(
      shape("polyline", { class: `evidence ${verdict}`, points: path }),
      shape("circle", { class: `tip ${verdict}`, cx: x(tokens), cy: y(evidence), r: 3 }),
    );
  }
  if (!points.length) svg.append(shape("text", { x: left + 8, y: y(0) - 8 }, "no token checked yet"));
  const caption = element("figcaption", {}, element("b", {}, `${miner.uid} ${name}`),
    element("span", { class: verdict }, verdictText(miner)));
  return element("figure", {}, caption, svg);
}

function testSummary(miner, name) {
  return `uid ${miner.uid}, ${name}: evidence ${fixed(miner.evidence, 1)} of ${fixed(miner.threshold, 0)} after ` +
    `${count(miner.checked_tokens)} checked tokens, ${miner.verdict}`;
}

function testFigures({ miners, labels }) {
  if (!miners.length) return [element("p", { class: "empty" }, "No miner has been checked yet.")];
  const last = Math.max(0, ...miners.map((m) => (m.history.length ? m.history[m.history.length - 1][0] : 0)));
  return miners.map((miner) => testFigure(miner, labels, last));
}

// Moves labels apart that would overlap, keeping their order; returns a position for each.
function spread(wanted, gap, lowest, highest) {
  const order = wanted.map((at, index) => [at, index]).sort((a, b) => a[0] - b[0]);
  const placed = new Array(wanted.length);
  let floor = lowest;
  for (const [at, index] of order) {
    placed[index] = Math.max(at, floor);
    floor = placed[index] + gap;
  }
  let roof = highest;
  for (const [, index] of order.reverse()) {
    placed[index] = Math.min(placed[index], roof);
    roof = placed[index] - gap;
  }
  return placed;
}

// The miners with the largest shares, each a band of its own, and all others as one.
function bandsOf(epochs, miners, labels) {
  const named = new Map(miners.map((miner) => [miner.uid, nameOf(miner.hotkey, labels)]));
  const shares = (uid) => epochs.map((epoch) => epoch.incentives[uid] ?? 0);
  const all = [...named.keys()].map((uid) => ({ uid, name: `${uid} ${named.get(uid)}`, shares: shares(uid) }));
  const largest = [...all].sort((a, b) => Math.max(...b.shares) - Math.max(...a.shares)).slice(0, BANDS);
  const bands = largest.sort((a, b) => a.uid - b.uid);
  const rest = all.filter((band) => !bands.includes(band));
  if (rest.length) {
    const sums = epochs.map((_, at) => rest.reduce((sum, band) => sum + band.shares[at], 0));
    bands.push({ name: `${rest.length} others`, shares: sums });
  }
  return bands.map((band, index) => ({ ...band, series: `s${index % SERIES}` }));
}

function incentiveChart({ epochs, miners, labels }) {
  const bands = epochs.length ? bandsOf(epochs, miners, labels) : [];
  if (!bands.some((band) => band.shares.some((share) => share > 0))) {
    return [element("p", { class: "empty" }, "No miner has earned anything yet.")];
  }
  const height = Math.max(250, bands.length * 15 + 40);
  const [width, left, right, top, bottom] = [960, 44, 200, 10, 26];
  const x = (index) => left + ((width - left - right) * index) / Math.max(1, epochs.length - 1);
  const y = (share) => top + (height - top - bottom) * (1 - Math.min(share, 1));
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Incentive of ${bands.length} miners over ${epochs.length} epochs; the numbers are in the table below` });
  const floor = epochs.map(() => 0);
  const middles = bands.map((band) => {
    const lower = floor.map((share, at) => `${x(at).toFixed(1)},${y(share).toFixed(1)}`).reverse();
    band.shares.forEach((share, at) => { floor[at] += share; });
    const upper = floor.map((share, at) => `${x(at).toFixed(1)},${y(share).toFixed(1)}`);
    const edge = width - right;
    const points = epochs.length > 1 ? [...upper, ...lower]
      : [upper[0], `${edge},${upper[0].split(",")[1]}`, `${edge},${lower[0].split(",")[1]}`, lower[0]];
    svg.append(shape("polygon", { class: `band ${band.series}`, points: points.join(" ") }));
    const end = epochs.length - 1;
    return y(floor[end] - band.shares[end] / 2);
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(
      shape("line", { class: "axis", x1: left - 4, x2: left, y1: y(share), y2: y(share) }),
      shape("text", { x: left - 7, y: y(share) + 4, "text-anchor": "end" }, `${share * 100} %`),
    );
  }
  const every = Math.max(1, Math.ceil(epochs.length / 10));
  epochs.forEach((epoch, index) => {
    const end = epochs.length - 1;
    if (index !== end && (index % every || end - index < every)) return;
    svg.append(shape("text", { x: x(index), y: height - 6, "text-anchor": index ? "middle" : "start" },
      `${index ? "" : "block "}${count(epoch.block)}`));
  });
  const ends = spread(middles, 14, top + 8, height - bottom);
  bands.forEach((band, index) => svg.append(
    shape("text", { class: `series-label ${band.series}`, x: width - right + 10, y: ends[index] + 4 },
      `${band.name}  ${(band.shares[band.shares.length - 1] * 100).toFixed(1)} %`)));
  return [element("figure", { class: "wide" }, svg), incentiveTable(epochs, bands)];
}

function incentiveTable(epochs, bands) {
  const recent = epochs.slice(-12);
  const head = element("tr", {}, element("th", { scope: "col" }, "miner"),
    ...recent.map((epoch) => element("th", { scope: "col", class: "number" }, count(epoch.block))));
  const body = bands.map((band) => element("tr", {}, element("th", { scope: "row" }, band.name),
    ...band.shares.slice(-12).map((share) => element("td", { class: "number" }, fixed(share, 3)))));
  // A redraw must not fold up what somebody is reading.
  const open = document.querySelector("#incentives details")?.open ? { open: "" } : {};
  return element("details", open, element("summary", {}, "The same as a table (last 12 epochs, by block)"),
    element("div", { class: "scroll", tabindex: "0" },
      element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))));
}

function ledgerRows({ ledger, labels, source }) {
  const rounds = ledger.filter((entry) => entry.kind === "round");
  const rest = ledger.filter((entry) => entry.kind !== "round").reverse();
  const rows = rest.slice(0, LEDGER_ROWS).map((entry) => element(
    "tr",
    {},
    element("td", { class: "number" }, count(entry.index)),
    element("td", { class: "number" }, count(entry.block)),
    element("td", {}, entry.kind),
    element("td", { title: entry.miner }, isSomebody(entry.miner) ? nameOf(entry.miner, labels) : "–"),
    element("td", { class: "reason" }, entry.reason ? entry.reason.replaceAll("_", " ") : "–"),
    element("td", {}, bundleLink(entry, source)),
  ));
  if (!rows.length) rows.push(emptyRow(6, "No accusation so far."));
  if (rest.length > LEDGER_ROWS) rows.push(emptyRow(6, `and ${count(rest.length - LEDGER_ROWS)} older entries`));
  // Every round commits to its answers; one line for all of them keeps the accusations in sight.
  if (rounds.length) {
    const last = rounds[rounds.length - 1];
    rows.push(emptyRow(6, `and ${count(rounds.length)} round commitments, the last in block ${count(last.block)}`));
  }
  return rows;
}

function isSomebody(hotkey) {
  return hotkey && hotkey !== NOBODY;
}

function bundleLink(entry, source) {
  if (!/^[0-9a-f]{64}$/.test(entry.bundle ?? "")) return "–";
  return element("a", { href: `evidence/${source}/${entry.bundle}`, download: `${entry.bundle}.assay` },
    `bundle ${entry.bundle.slice(0, 10)}…`);
}

function validatorButtons({ names, index }) {
  return names.map((name, at) => {
    const button = element("button", { type: "button", "aria-pressed": String(at === index) }, name);
    button.addEventListener("click", () => {
      chosen = at;
      history.replaceState(null, "", `#${at}`);
      show(latest);
      document.querySelectorAll("#validators button")[at].focus();
    });
    return button;
  });
}

function sourceName(source, index, labels) {
  if (!source.snapshot) return source.name || `validator ${index}`;
  const known = labels[source.snapshot.validator];
  const uid = source.snapshot.uid === null ? "" : ` (uid ${source.snapshot.uid})`;
  return `${known || `validator ${short(source.snapshot.validator)}`}${uid}`;
}

function connect(state, text) {
  const line = document.querySelector("#connection");
  line.className = `connection ${state}`;
  if (line.textContent !== text) line.textContent = text;
}

function show(status) {
  latest = status;
  const { labels, sources } = status;
  const index = Math.min(chosen, sources.length - 1);
  const nav = document.querySelector("#validators");
  nav.hidden = sources.length < 2;
  draw("#validators", { names: sources.map((s, at) => sourceName(s, at, labels)), index }, validatorButtons);
  const source = sources[index];
  if (!source || !source.snapshot) {
    connect("away", source ? `Waiting for the validator: ${source.error}` : "No validator to show");
    return;
  }
  const snapshot = source.snapshot;
  const stale = source.error !== null || source.age_s > STALE_S;
  connect(stale ? "away" : "live", stale ? `No news for ${Math.round(source.age_s)} s: ${source.error}` : "Live");
  document.querySelector("#subnet").textContent = `subnet ${snapshot.netuid}`;
  document.title = `Assay, subnet ${snapshot.netuid}`;
  const { miners, epochs, ledger } = snapshot;
  draw("#facts", snapshot, facts);
  draw("#miners tbody", { miners, labels }, minerRows);
  draw("#tests", { miners, labels }, testFigures);
  draw("#incentives", { epochs, miners: miners.map(({ uid, hotkey }) => ({ uid, hotkey })), labels }, incentiveChart);
  draw("#ledger tbody", { ledger, labels, source: index }, ledgerRows);
  document.documentElement.dataset.ready = "yes";
}

async function poll() {
  let next = POLL_MS;
  try {
    const response = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`status.json answered ${response.status}`);
    show(await response.json());
  } catch (error) {
    next = RETRY_MS;
    connect("away", `This page's server doesn't answer (${error.message}); trying again`);
  }
  setTimeout(poll, next);
}

document.addEventListener("DOMContentLoaded", poll);
