// SPDX-License-Identifier: GPL-3.0-or-later
// One job: what can be done with it, its tasks, its last picture.

import * as api from "./api.js";
import { Rows, confirmed, el, find, link, name, setStatus, setTime, status, time, write } from "./dom.js";
import { setSteps, steps } from "./jobs.js";
import { Source } from "./refresh.js";
import { say } from "./say.js";
import { count, visible } from "./text.js";

const SLOW = 5_000;
/** More rows than a person reads would only cost time at every refresh; a button shows them. */
const ROWS = 200;

/** In which states the Manager's page offers what, and what it then asks for. */
const ACTIONS = {
  "job-cancel": ["cancel-requested", "active failed paused pause-requested queued"],
  "job-pause": ["pause-requested", "active canceled queued"],
  "job-requeue": ["requeueing", "canceled completed failed paused"],
  "job-delete": [null, "canceled completed failed paused queued"],
};

export class Job {
  #id = null;
  #job = null;
  #task = null;
  #tasks = [];
  #all = false;
  #pictures = 0;
  #rows;

  /** `go(path)` changes the address; `loaded(tasks)` hears the tasks on every refresh. */
  constructor(go, loaded) {
    Object.assign(this, { go, loaded });
    this.#rows = new Rows(find("task-rows"), (task) => this.#row(task));
    this.source = new Source(() => this.#load(), SLOW);
    this.picture = new Source(() => this.#loadPicture(), SLOW);
    for (const [button, [wanted]] of Object.entries(ACTIONS)) {
      find(button).onclick = () => (wanted ? this.#set(wanted) : this.#delete());
    }
    find("tasks-all").onclick = () => {
      this.#all = true;
      this.#showTasks();
    };
  }

  route(id, task) {
    if (id !== this.#id) {
      [this.#id, this.#job, this.#tasks, this.#all, this.#pictures] = [id, null, [], false, 0];
      find("picture").hidden = true;
      this.#showTasks();
    }
    this.#task = task;
    this.#mark();
    this.source.now();
    this.picture.now();
  }

  /** What the list of jobs says of it now; `null` when it is none of them. */
  show(job) {
    this.#job = job;
    find("panel-job").hidden = !job;
    if (!job) return;
    write(find("job-name"), job.name);
    const state = status(job.status);
    // Summed up only once something was done.
    const steps = job.steps_total ? `${job.steps_completed} of ${count(job.steps_total, "step")}` : "";
    const about = [state, name(job.type), `priority ${job.priority}`, steps, name(job.activity)];
    const made = about.filter((part) => part.textContent !== "").map((part) => el("span", {}, part));
    const old = find("job-about");
    if (made.length !== old.children.length || !made.every((node, at) => node.isEqualNode(old.children[at]))) {
      old.replaceChildren(...made);
    }
    for (const [button, [, states]] of Object.entries(ACTIONS)) {
      find(button).disabled = !states.split(" ").includes(job.status);
    }
  }

  async #load() {
    const id = this.#id;
    if (!id) return;
    const tasks = await api.tasks(id);
    if (id !== this.#id) return;
    this.#tell(tasks);
    this.#tasks = tasks;
    this.#showTasks();
    this.loaded(tasks);
  }

  #tell(tasks) {
    for (const task of tasks) {
      const before = this.#tasks.find(({ id }) => id === task.id);
      if (before && before.status !== task.status) say(`Task ${task.name} changed status ${before.status} ➜ ${task.status}`);
    }
  }

  #showTasks() {
    const shown = this.#all ? this.#tasks : this.#tasks.slice(0, ROWS);
    this.#rows.show(shown);
    const left = this.#tasks.length - shown.length;
    find("tasks-all").hidden = left === 0;
    write(find("tasks-all"), `Show ${count(left, "more task")}`);
    this.#mark();
  }

  #mark() {
    for (const { id } of this.#tasks) {
      this.#rows.get(id)?.node.toggleAttribute("data-picked", id === this.#task);
    }
  }

  #row({ id }) {
    const label = link(`/app/jobs/${this.#id}/${id}`, "");
    const [number, state, updated, worker] = [el("span"), status(""), time(), el("span")];
    const done = steps();
    const cell = (title, ...inside) => el("td", { "data-title": title }, ...inside);
    const node = el(
      "tr",
      { "data-id": id },
      el("td", { class: "number" }, number),
      cell("Status", state),
      el("th", { scope: "row" }, label),
      cell("Steps", done),
      cell("Updated", updated),
      cell("Worker", worker),
    );
    node.onclick = (event) => event.target.closest("a") || this.go(label.getAttribute("href"));
    const update = (task) => {
      write(number, task.index_in_job);
      write(label.firstChild, task.name);
      label.title = visible(task.name);
      setStatus(state, task.status);
      setSteps(done, task);
      setTime(updated, task.updated);
      showWorker(worker, task.worker);
    };
    return { node, update };
  }

  async #loadPicture() {
    const id = this.#id;
    if (!id) return;
    const info = await api.lastRendered(id);
    if (id !== this.#id) return;
    const figure = find("picture");
    figure.hidden = !info;
    if (!info) return;
    const best = `${info.base}/${info.suffixes[0]}`;
    const small = info.suffixes.find((suffix) => suffix.includes("small")) ?? info.suffixes[0];
    this.#pictures += 1;
    const image = find("picture-image");
    image.src = `${info.base}/${small}?${this.#pictures}`;
    image.alt = `Last rendered picture of ${visible(this.#job?.name)}`;
    find("picture-link").href = best;
  }

  async #set(wanted) {
    const job = this.#job;
    await api.setJob(job.id, wanted).then(
      () => say(`Job ${job.name}: ${wanted} confirmed`),
      (error) => say(`Error changing job ${job.name}: ${error.message}`),
    );
    this.source.now();
  }

  async #delete() {
    const job = this.#job;
    const question = `Delete the job ${job.name}, with its tasks, logs and pictures?`;
    if (!(await confirmed(question, "Delete"))) return;
    await api.deleteJob(job.id).catch((error) => say(`Error deleting job ${job.name}: ${error.message}`));
    this.go("/app/jobs");
  }
}

export function showWorker(cell, worker) {
  const key = worker?.id ? `${worker.id} ${worker.name}` : "";
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  if (!key) return cell.replaceChildren(el("span", { class: "none" }, "none yet"));
  // A worker that was removed has kept nothing but its id.
  const gone = el("span", { class: "none" }, "removed");
  cell.replaceChildren(worker.name ? link(`/app/workers/${worker.id}`, worker.name) : gone);
}
