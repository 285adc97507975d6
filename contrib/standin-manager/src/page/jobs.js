// SPDX-License-Identifier: GPL-3.0-or-later
// The list of jobs, newest first, and the samples that can be submitted with one click.

import * as api from "./api.js";
import { Rows, el, find, link, setStatus, setTime, status, time, write } from "./dom.js";
import { Source } from "./refresh.js";
import { say } from "./say.js";
import { visible } from "./text.js";

const SLOW = 5_000;

export class Jobs {
  #list = null;
  #shown = null;
  #rows;

  /** `go(path)` changes the address; `chosen(job)` hears of the shown job on every refresh, `null` when it is gone. */
  constructor(go, chosen) {
    Object.assign(this, { go, chosen });
    this.#rows = new Rows(find("job-list"), jobRow);
    this.source = new Source(() => this.#load(), SLOW);
    this.#samples();
  }

  route(id) {
    this.#shown = id;
    this.#show();
    this.source.now();
  }

  /** The newest, for an address that names none. */
  get newest() {
    return this.#list?.[0]?.id ?? null;
  }

  async #load() {
    const list = await api.jobs();
    list.sort((a, b) => b.created.localeCompare(a.created));
    if (this.#list) this.#tell(list);
    this.#list = list;
    this.#show();
  }

  #tell(list) {
    for (const job of list) {
      const before = this.#list.find(({ id }) => id === job.id);
      if (before && before.status !== job.status) say(`Job ${job.name} changed status ${before.status} ➜ ${job.status}`);
    }
    for (const job of this.#list) {
      if (!list.some(({ id }) => id === job.id)) say(`Job ${job.name} was deleted`);
    }
  }

  #show() {
    if (!this.#list) return;
    this.#rows.show(this.#list);
    find("no-jobs").hidden = this.#list.length > 0;
    for (const { id } of this.#list) {
      const row = this.#rows.get(id).node.firstChild;
      if (id === this.#shown) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    this.chosen(this.#list.find(({ id }) => id === this.#shown) ?? null);
  }

  async #samples() {
    const samples = (await api.samples()) ?? [];
    find("samples").hidden = samples.length === 0;
    find("sample-list").replaceChildren(
      ...samples.map(({ name, about }) => {
        const button = el("button", { type: "button", "aria-label": `Submit ${visible(name)}` }, "Submit");
        button.onclick = () => this.#submit(name);
        return el("li", {}, el("p", {}, el("b", {}, visible(name)), el("span", {}, visible(about))), button);
      }),
    );
  }

  async #submit(name) {
    try {
      const job = await api.submitSample(name);
      say(`Job ${job.name} was submitted`);
      this.go(`/app/jobs/${job.id}`);
    } catch (error) {
      say(`Error submitting ${name}: ${error.message}`);
    }
  }
}

function jobRow({ id }) {
  const anchor = link(`/app/jobs/${id}`, "", { class: "job" });
  const title = anchor.firstChild;
  const state = status("");
  const [kind, priority, updated] = [el("bdi"), el("span"), time()];
  const bar = el("progress", { class: "thin", max: 1, value: 0, "aria-label": "Progress" });
  title.className = "title";
  anchor.append(state, bar, el("span", { class: "small" }, kind, priority, updated));
  const update = (job) => {
    write(title, job.name);
    setStatus(state, job.status);
    setProgress(bar, job);
    write(kind, job.type);
    write(priority, `prio ${job.priority}`);
    setTime(updated, job.updated);
  };
  return { node: el("li", {}, anchor), update };
}

export function setProgress(bar, { steps_completed: done, steps_total: total, status: word }) {
  bar.max = Math.max(total, 1);
  bar.value = Math.max(0, done);
  bar.dataset.status = word;
}

/** A task's steps: how many are done, as a bar and in figures. */
export function steps() {
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Steps" });
  return el("span", { class: "steps" }, bar, el("span", { class: "small" }));
}

export function setSteps(made, task) {
  setProgress(made.firstChild, task);
  write(made.lastChild, `${task.steps_completed}/${task.steps_total}`);
}
