// SPDX-License-Identifier: GPL-3.0-or-later
// One task: what it is doing, what it was told to do, who failed at it, and its log.

import * as api from "./api.js";
import { el, facts, find, link, name, status, time, write } from "./dom.js";
import { showWorker } from "./job.js";
import { LogView } from "./logview.js";
import { Source } from "./refresh.js";
import { say } from "./say.js";
import { count, visible } from "./text.js";

const SLOW = 4_000;

const ACTIONS = {
  "task-cancel": ["canceled", "active queued soft-failed"],
  "task-requeue": ["queued", "canceled completed failed"],
};

export class Task {
  #id = null;
  #task = null;
  #log = new LogView();

  constructor() {
    this.source = new Source(() => this.#load(), SLOW);
    for (const [button, [wanted]] of Object.entries(ACTIONS)) find(button).onclick = () => this.#set(wanted);
  }

  route(job, id) {
    find("task-back").href = `/app/jobs/${job ?? ""}`;
    if (id === this.#id) return;
    [this.#id, this.#task] = [id, null];
    find("panel-task").hidden = true;
    this.#log.show(id);
    this.source.now();
  }

  async #load() {
    const id = this.#id;
    if (!id) return;
    const task = await api.task(id).catch((error) => {
      // Its job was deleted: nothing more is to be said of it.
      if (error.status === 404) return null;
      throw error;
    });
    if (id !== this.#id) return;
    this.#task = task;
    find("panel-task").hidden = !task;
    if (!task) return this.#log.show(null);
    this.#show(task);
    this.#log.active = task.status === "active";
  }

  #show(task) {
    write(find("task-name"), task.name);
    const worker = el("span");
    showWorker(worker, task.worker);
    const failed = (task.failed_by_workers ?? []).map(({ id, name }) => link(`/app/workers/${id}`, name || id));
    facts(find("task-facts"), [
      ["Status", status(task.status)],
      ["Activity", task.activity],
      ["Steps", `${task.steps_completed} of ${task.steps_total}`],
      ["Worker", worker],
      ["Type", task.task_type],
      ["Updated", time(task.updated)],
      ["Failed by", failed.length ? el("span", {}, ...failed.flatMap((one, at) => (at ? [", ", one] : [one]))) : null],
    ]);
    for (const [button, [, states]] of Object.entries(ACTIONS)) {
      find(button).disabled = !states.split(" ").includes(task.status);
    }
    this.#commands(task.commands ?? []);
  }

  #commands(commands) {
    write(find("commands-title"), count(commands.length, "command"));
    const list = find("task-commands");
    const key = JSON.stringify(commands);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    const lines = (value) => (typeof value === "string" ? visible(value) : visible(JSON.stringify(value)));
    list.replaceChildren(
      ...commands.map((command) => {
        const parameters = Object.entries(command.parameters ?? {});
        const said = parameters.flatMap(([key, value]) => [el("dt", {}, visible(key)), el("dd", {}, lines(value))]);
        return el("li", {}, el("b", {}, name(command.name)), el("dl", {}, ...said));
      }),
    );
  }

  async #set(wanted) {
    const task = this.#task;
    await api.setTask(task.id, wanted).then(
      () => say(`Task ${task.name}: ${wanted} confirmed`),
      (error) => say(`Error changing task ${task.name}: ${error.message}`),
    );
    this.source.now();
  }
}
