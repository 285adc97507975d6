// SPDX-License-Identifier: GPL-3.0-or-later
// The Workers tab: who is there, what each is asked to do, and the Worker Actions menu.

import * as api from "./api.js";
import { Rows, confirmed, el, facts, find, link, name, setStatus, setTime, status, time, write } from "./dom.js";
import { setSteps, steps } from "./jobs.js";
import { Source } from "./refresh.js";
import { say } from "./say.js";

const SLOW = 4_000;

/** The menu, entry by entry as the Manager's page has it. */
const ACTIONS = [
  ["offline_lazy", "Shut Down (after task is finished)", "offline", true],
  ["offline_immediate", "Shut Down (immediately)", "offline", false],
  ["restart_lazy", "Restart (after task is finished)", "restart", true],
  ["restart_immediate", "Restart (immediately)", "restart", false],
  ["asleep_lazy", "Send to Sleep (after task is finished)", "asleep", true],
  ["asleep_immediate", "Send to Sleep (immediately)", "asleep", false],
  ["wakeup", "Wake Up", "awake", false],
].map(([value, label, target, lazy]) => ({ value, label, target, lazy }));

export class Workers {
  #list = [];
  #details = new Map();
  #picked = new Set();
  #shown = null;
  #first = true;
  #rows;

  /** `go(path)` changes the address. */
  constructor(go) {
    this.go = go;
    this.#rows = new Rows(find("worker-rows"), (worker) => this.#row(worker));
    this.source = new Source(() => this.#load(), SLOW);
    find("apply").onclick = () => this.#apply();
    find("action").onchange = () => this.#menu();
    find("pick-all").onchange = ({ target }) => this.#pick(target.checked ? this.#list.map(({ id }) => id) : []);
    find("worker-remove").onclick = () => this.#remove();
    write(find("start-command"), `flamenco-worker -manager ${location.origin}`);
  }

  /** The address names a worker, or none. */
  route(id) {
    this.#shown = id;
    if (id) this.#picked = new Set([id]);
    this.#show();
    this.source.now();
  }

  async #load() {
    const list = await api.workers();
    list.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }) || a.id.localeCompare(b.id));
    if (!this.#first) this.#tell(list);
    this.#first = false;
    this.#list = list;
    this.#picked = new Set([...this.#picked].filter((id) => list.some((worker) => worker.id === id)));
    this.#show();
    await Promise.all(this.#inSight().map((id) => this.#detail(id)));
    this.#show();
  }

  async #detail(id) {
    // It may be gone since the list was fetched: the next list says so.
    const detail = await api.worker(id).catch(() => null);
    if (detail) this.#details.set(id, detail);
  }

  /** The list does not say what a worker runs. That is asked for those a person can see, not for a thousand. */
  #inSight() {
    const seen = ({ id }) => {
      const box = this.#rows.get(id)?.node.getBoundingClientRect();
      return id === this.#shown || (box && box.bottom > 0 && box.top < innerHeight);
    };
    return this.#list.filter(seen).map(({ id }) => id);
  }

  #tell(list) {
    for (const worker of list) {
      const before = this.#list.find(({ id }) => id === worker.id);
      if (before && before.status !== worker.status) {
        say(`Worker ${worker.name} changed status ${before.status || "registered"} ➜ ${worker.status}`);
      }
    }
    for (const { id, name } of this.#list) {
      if (!list.some((worker) => worker.id === id)) say(`Worker ${name} was removed from the system`);
    }
  }

  #show() {
    this.#rows.show(this.#list);
    find("worker-table").hidden = this.#list.length === 0;
    find("no-workers").hidden = this.#first || this.#list.length > 0;
    const all = find("pick-all");
    all.checked = this.#list.length > 0 && this.#picked.size === this.#list.length;
    all.indeterminate = this.#picked.size > 0 && !all.checked;
    this.#menu();
    this.#showDetails();
  }

  #row(worker) {
    const { id } = worker;
    const pick = el("input", { type: "checkbox" });
    const label = link(`/app/workers/${id}`, "");
    const [state, task, seen] = [status(""), el("span", { class: "task" }), time()];
    const change = el("span", { class: "change" });
    const [version, restart] = [name(""), el("span")];
    const cell = (title, ...inside) => el("td", { "data-title": title }, ...inside);
    const node = el(
      "tr",
      { "data-id": id },
      el("td", { class: "pick" }, pick),
      el("th", { scope: "row" }, label),
      cell("Status", state, change),
      cell("Task", task),
      cell("Last seen", seen),
      cell("Version", version),
      cell("Can restart", restart),
    );
    pick.onchange = () => this.#toggle(id);
    node.onclick = (event) => this.#clicked(event, id);
    const update = (worker) => {
      write(label.firstChild, worker.name);
      pick.setAttribute("aria-label", `Select ${worker.name}`);
      pick.checked = this.#picked.has(id);
      node.toggleAttribute("data-picked", pick.checked);
      setStatus(state, worker.status);
      showChange(change, worker.status_change);
      showTask(task, this.#details.get(id)?.task);
      setTime(seen, worker.last_seen);
      // Builds say a lot more in brackets; the details show it.
      write(version, worker.version.split(" (")[0]);
      write(restart, worker.can_restart ? "yes" : "no");
    };
    return { node, update };
  }

  /** A click on a row picks that one; with Ctrl or the box it is added or taken away. */
  #clicked(event, id) {
    if (event.target.closest("a, input")) return;
    if (event.ctrlKey || event.metaKey) this.#toggle(id);
    else this.go(`/app/workers/${id}`);
  }

  #toggle(id) {
    const picked = new Set(this.#picked);
    if (!picked.delete(id)) picked.add(id);
    this.#pick(picked);
  }

  #pick(ids) {
    this.#picked = new Set(ids);
    this.#show();
  }

  /** Apply needs a worker and an action; Restart needs a worker that can. What was chosen stays chosen. */
  #menu() {
    const picked = this.#list.filter(({ id }) => this.#picked.has(id));
    const restartable = picked.some((worker) => worker.can_restart);
    const offered = ACTIONS.filter(({ target }) => target !== "restart" || restartable);
    const entries = [["", picked.length ? "Choose an action..." : "Select a Worker"]];
    entries.push(...offered.map(({ value, label }) => [value, label]));
    const select = find("action");
    const nodes = entries.map(([value, label]) => el("option", { value }, label));
    if (!nodes.every((node, at) => select.options[at]?.isEqualNode(node)) || nodes.length !== select.options.length) {
      const chosen = select.value;
      select.replaceChildren(...nodes);
      select.value = offered.some(({ value }) => value === chosen) ? chosen : "";
    }
    find("apply").disabled = !picked.length || !select.value;
  }

  #apply() {
    const { target, lazy } = ACTIONS.find(({ value }) => value === find("action").value);
    for (const { id, name } of this.#list.filter(({ id }) => this.#picked.has(id))) {
      api
        .askWorker(id, target, lazy)
        .then(() => say(`Worker ${name} status change to ${target} confirmed.`))
        .catch((error) => say(`Error requesting worker ${name} status change: ${error.message}`))
        .finally(() => this.source.now());
    }
  }

  #showDetails() {
    const worker = this.#list.find(({ id }) => id === this.#shown);
    const detail = this.#details.get(this.#shown);
    find("worker-details").hidden = !worker || !detail;
    if (!worker || !detail) return;
    write(find("worker-name"), worker.name);
    write(find("worker-remove"), `Remove ${worker.name}`);
    const state = status(worker.status);
    const change = el("span", { class: "change" });
    showChange(change, worker.status_change);
    const task = el("span", { class: "task" });
    showTask(task, detail.task);
    facts(find("worker-facts"), [
      ["ID", el("code", {}, worker.id)],
      ["Name", worker.name],
      ["Status", el("span", {}, state, change)],
      ["Last Seen", time(worker.last_seen)],
      ["Version", worker.version],
      ["IP Addr", detail.ip_address],
      ["Platform", detail.platform],
      ["Task Types", detail.supported_task_types.join(", ")],
      ["Last Task", task],
      ["Can Restart", worker.can_restart ? "yes" : "no"],
    ]);
  }

  async #remove() {
    const worker = this.#list.find(({ id }) => id === this.#shown);
    if (!worker) return;
    const warning =
      worker.status === "offline" ? "" : " Removing it without first shutting it down will cause it to log errors.";
    if (!(await confirmed(`Are you sure you want to remove ${worker.name}?${warning}`, `Remove ${worker.name}`))) return;
    await api.removeWorker(worker.id).catch((error) => say(`Error removing worker ${worker.name}: ${error.message}`));
    this.go("/app/workers");
  }
}

/** What is asked of a worker and not yet met. */
function showChange(cell, change) {
  const key = change ? `${change.is_lazy} ${change.status}` : "";
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  if (!change) return cell.replaceChildren();
  const [arrow, kind] = change.is_lazy ? ["➠", "lazy"] : ["➜", "forced"];
  const title = `${kind} status transition`;
  cell.replaceChildren(
    " ",
    el("span", { class: `arrow ${kind}`, title, role: "img", "aria-label": title }, arrow),
    " ",
    el("span", { class: "to" }, change.status),
  );
}

function showTask(cell, task) {
  const key = task ? `${task.id} ${task.status} ${task.name}` : "";
  if (cell.dataset.key !== key) {
    cell.dataset.key = key;
    if (!task) return cell.replaceChildren(el("span", { class: "none" }, "none yet"));
    cell.replaceChildren(link(`/app/jobs/${task.job_id}/${task.id}`, task.name), " ", status(task.status), " ", steps());
  }
  const done = cell.querySelector(".steps");
  if (!done) return;
  done.hidden = !task.steps_total;
  setSteps(done, task);
}

