"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const DEFAULTS = Object.fromEntries(data.questions.map((question) => [question.name, question.default]));
const OTHER = "with.";  // begins the names of the other service's answers in the address

let here;  // answers
let there;  // the other service's answers, or null
let file;  // path of the shown file

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// State: the address's hash has the answers that are not defaults, and the shown file.

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const answers = (prefix) => Object.fromEntries(data.questions.map(({ name, choices }) => {
    const value = given.get(prefix + name);
    return [name, choices.some((choice) => choice[1] === value) ? value : DEFAULTS[name]];
  }));
  here = answers("");
  there = given.has("compare") ? answers(OTHER) : null;
  file = given.get("file") ?? "README.md";
}

function hash(path) {
  const parts = new URLSearchParams(chosen(here));
  if (there) parts.set("compare", "yes");
  for (const [name, value] of chosen(there ?? {})) parts.set(OTHER + name, value);
  parts.set("file", path);
  return `#${parts}`;
}

const chosen = (answers) => Object.entries(answers).filter(([name, value]) => value !== DEFAULTS[name]);

// Services and their difference

const command = (answers) => [`uvx --from ${data.address} prewired new my-service --defaults`,
  ...chosen(answers).map(([name, value]) => `--data ${name}=${value}`)].join(" ");

const split = (text) => text.split("\n").slice(0, -1);

/** Return the files of one service or two, in order: [path, text here, text there, number]. */
function files() {
  const rows = new Map();
  [here, there].forEach((answers, side) => {
    for (const number of answers ? data.projects[Object.values(answers).join()] : []) {
      const [path, text] = data.files[number];
      if (!rows.has(path)) rows.set(path, [path, undefined, undefined, number]);
      rows.get(path)[side + 1] = text;
    }
  });
  return [...rows.values()].sort((one, other) => one[3] - other[3]);
}

function kind([, one, other]) {
  if (one === other) return "same";
  if (other === undefined) return "only here";
  return one === undefined ? "only there" : "changed";
}

/** Return the fewest edits between two lists of lines, as [sign, line], from their longest common subsequence. */
function edits(one, other) {
  const common = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = other.length - 1; j >= 0; j--) {
      common[i][j] = one[i] === other[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      found.push([" ", one[i++]]);
      j++;
    } else if (j === other.length || (i < one.length && common[i + 1][j] >= common[i][j + 1])) {
      found.push(["-", one[i++]]);
    } else {
      found.push(["+", other[j++]]);
    }
  }
  return found;
}

/** Return a unified diff with three lines of context, as lines for `show`. */
function unified([path, one, other]) {
  const all = edits(split(one ?? ""), split(other ?? ""));
  const near = all.map((_, at) => all.slice(Math.max(0, at - 3), at + 4).some(([sign]) => sign !== " "));
  const lines = [
    { text: one === undefined ? "--- /dev/null" : `--- a/${path}`, kind: "head" },
    { text: other === undefined ? "+++ /dev/null" : `+++ b/${path}`, kind: "head" },
  ];
  let [before, after] = [0, 0];
  all.forEach(([sign, line], at) => {
    if (near[at] && !near[at - 1]) {
      const end = near.indexOf(false, at);
      const hunk = all.slice(at, end === -1 ? all.length : end);
      const range = (start, left) => {
        const count = hunk.filter((edit) => edit[0] !== left).length;
        return `${start + (count ? 1 : 0)},${count}`;
      };
      lines.push({ text: `@@ -${range(before, "+")} +${range(after, "-")} @@`, kind: "head" });
    }
    if (sign !== "+") before++;
    if (sign !== "-") after++;
    if (!near[at]) return;
    const number = sign === "-" ? before : after;
    lines.push({ text: sign + line, kind: { "+": "added", "-": "removed", " ": "" }[sign], number });
  });
  return lines;
}

// What is shown

function show(lines) {
  return lines.map(({ text, kind, number }) => {
    const line = make("span", { className: `line ${kind ?? ""}` }, `${text}\n`);
    line.dataset.number = number ?? "";
    return line;
  });
}

function update() {
  const rows = files();
  const listed = there ? rows.filter((row) => kind(row) !== "same") : rows;
  const row = listed.find(([path]) => path === file) ?? listed.find(([path]) => path === "README.md") ?? listed[0];
  for (const select of $("questions").querySelectorAll("select")) {
    const answers = select.dataset.other ? there : here;
    select.parentElement.hidden = !answers;
    select.value = (answers ?? DEFAULTS)[select.name];
  }
  $("comparing").checked = Boolean(there);
  $("command").textContent = command(here);
  $("copy").textContent = "Copy";
  $("other").hidden = !there;
  $("other-command").textContent = there ? command(there) : "";
  $("summary").textContent = summary(rows);
  $("files").replaceChildren(...listed.map((each) => entry(each, each === row)));
  $("path").textContent = row ? row[0] : "";
  const lines = !row ? [] : there ? unified(row) : split(row[1]).map((text, at) => ({ text, number: at + 1 }));
  const empty = row ? "(an empty file)" : "(no difference)";
  $("text").replaceChildren(...(lines.some((line) => line.kind !== "head") ? show(lines) : [empty]));
  $("text").parentElement.scrollTop = 0;
  for (const tr of $("result-rows").children) {
    const fits = Object.entries(JSON.parse(tr.dataset.answers)).every(([name, value]) => here[name] === value);
    tr.setAttribute("aria-current", fits);
  }
}

function summary(rows) {
  if (!there) return `${rows.length} files, ${rows.reduce((sum, row) => sum + split(row[1]).length, 0)} lines`;
  const count = (wanted) => rows.filter((row) => kind(row) === wanted).length;
  return `Files: ${["only here", "only there", "changed", "same"].map((each) => `${count(each)} ${each}`).join(", ")}`;
}

function entry(row, current) {
  const [path, one] = row;
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const link = make("a", { href: hash(path) }, make("span", { className: "folder" }, folder), path.slice(folder.length));
  link.setAttribute("aria-current", current);
  return make("li", {}, link, " ", make("span", { className: "note" }, there ? kind(row) : split(one).length));
}

function go(path) {
  history.replaceState(null, "", hash(path));
  read();
  update();
}

// The parts that stay

for (const { name, help, choices } of data.questions) {
  const select = (other) => {
    const options = choices.map(([label, value]) => make("option", { value }, label));
    const element = make("select", { name }, ...options);
    element.dataset.other = other;
    element.setAttribute("aria-describedby", `help-${name}`);
    element.addEventListener("input", () => {
      (other ? there : here)[name] = element.value;
      go(file);
    });
    return make("label", {}, other ? `${name} there` : name, element);
  };
  const hint = make("p", { className: "hint", id: `help-${name}` }, help);
  $("questions").append(make("div", {}, select(""), select(OTHER), hint));
}
$("form").addEventListener("submit", (event) => event.preventDefault());
$("comparing").addEventListener("input", () => {
  there = there ? null : { ...DEFAULTS };
  go(file);
});
$("files").addEventListener("keydown", (event) => {
  const item = event.target.closest("li");
  const next = { ArrowDown: item.nextElementSibling, ArrowUp: item.previousElementSibling }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  next?.querySelector("a").focus();
});
$("files").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(new URLSearchParams(link.hash.slice(1)).get("file"));
  $("files").querySelector("[aria-current=true]").focus();
});
$("copy").addEventListener("click", () => {
  getSelection().selectAllChildren($("command"));  // for when the clipboard is not allowed
  navigator.clipboard?.writeText(command(here)).then(() => { $("copy").textContent = "Copied"; }, () => {});
});

$("coverage").textContent = data.coverage;
const cell = (text) => make("td", {}, text);
const columns = [...Object.keys(data.results[0].answers), "Lines of Python", "Shipped tests", "Proofs"];
$("result-columns").append(...columns.map((text) => make("th", { scope: "col" }, text)));
for (const row of data.results) {
  const tr = make("tr", {}, ...Object.values(row.answers).map(cell), ...row.counts.map(cell));
  tr.dataset.answers = JSON.stringify(row.answers);
  $("result-rows").append(tr);
}

for (const { name, file, old, new: broken, fails, databases } of data.mutations) {
  const breakable = (text) => text.split(/(?=::)/).flatMap((part) => [make("wbr"), part]);
  const code = (text) => make("code", {}, ...breakable(text));
  const edit = edits(old.split("\n"), broken ? broken.split("\n") : []);
  const indent = Math.min(...edit.filter(([, line]) => line).map(([, line]) => line.search(/\S/)));
  const lines = edit.map(([sign, line]) => ({ text: sign + line.slice(indent), kind: { "+": "added", "-": "removed" }[sign] }));
  const pre = make("pre", { tabIndex: 0 }, make("code", {}, ...show(lines)));
  $("mutation-rows").append(make("tr", {}, make("td", {}, make("details", {}, make("summary", {}, name), pre)),
    make("td", {}, code(file)), make("td", {}, make("ul", {}, ...fails.map((test) => make("li", {}, code(test))))),
    cell(databases.join(", "))));
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/);
  const rows = [...$("mutation-rows").children];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  $("found").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
}

$("filter").addEventListener("input", filter);
addEventListener("hashchange", () => {
  // Links to sections leave the answers as they are.
  if (!location.hash.includes("=")) return;
  read();
  update();
});
read();
update();
filter();
