// SPDX-License-Identifier: GPL-3.0-or-later
// The page of the stand-in Manager: which view an address means, and which event marks what as old.
//
//   app ── Workers ─┐
//    │ ── Jobs ─────┤── Source (refresh) ── api ── the Manager's HTTP API
//    │ ── Job ──────┤
//    │ ── Task ─────┘── LogView ── Log
//    └─── Push ── the Manager's Socket.IO

import * as api from "./api.js";
import { find, tick, write } from "./dom.js";
import { Job } from "./job.js";
import { Jobs } from "./jobs.js";
import { Push } from "./push.js";
import { say } from "./say.js";
import { Task } from "./task.js";
import { Workers } from "./workers.js";

/** Room for a job, its tasks and one of them at a time: there the first of each is opened unasked. */
const WIDE = matchMedia("(min-width: 900px)");
/** A connection that is not there yet is not lost. */
const PATIENCE = 1_500;

let route = {};
let farm = null;

const workers = new Workers(go);
const task = new Task();
const job = new Job(go, openTask);
const jobs = new Jobs(go, (chosen) => {
  job.show(chosen);
  openJob();
});
const push = new Push({ event, ready, lost });

/** Everything on screen, fetched again. */
function refresh() {
  const shown = route.view === "workers" ? [workers] : [jobs, job, task];
  for (const { source } of shown) source.mark();
  if (route.view === "jobs") job.picture.mark();
}

function event(name, value) {
  if (name === "/workers") workers.source.mark();
  if (name === "/jobs") {
    jobs.source.mark();
    workers.source.mark();
    if (value.id === route.job) [job, task].forEach(({ source }) => source.mark());
  }
  if (name === "/task") {
    job.source.mark();
    if (value.id === route.task) task.source.mark();
  }
  if (name === "/last-rendered" && value.job_id === route.job) job.picture.mark();
  if (name === "/lifecycle" && value.type === "manager-shutdown") say("The Manager is shutting down");
}

let state = "connecting";
let patience = null;

function ready() {
  clearTimeout(patience);
  patience = null;
  if (state === "lost" || state === "slow") say("Connected again");
  connection("live");
  refresh();
}

/** Without push the page still lives, slower, if the Manager answers. */
async function lost() {
  const answers = await api.version().then(
    () => true,
    () => false,
  );
  const next = answers ? "slow" : "lost";
  if (state === "connecting" || state === "live") patience ??= setTimeout(() => connection(next), next === "lost" ? 0 : PATIENCE);
  else connection(next);
}

const SAID = {
  connecting: ["Connecting", ""],
  live: ["Live", ""],
  lost: ["Not connected", "The connection to the Manager is lost. What you see may be old. Trying to reconnect…"],
  slow: ["Every few seconds", "The Manager answers, but tells no news by itself. The page asks every few seconds."],
};

function connection(next) {
  state = next;
  const [word, sentence] = SAID[state];
  find("live").dataset.state = state;
  write(find("live-word"), word);
  write(find("banner-text"), sentence);
  write(find("connection"), sentence);
  find("banner").hidden = !sentence;
}

function go(path, { replace = false } = {}) {
  if (path !== location.pathname) history[replace ? "replaceState" : "pushState"](null, "", path);
  open();
}

/** Shows what the address means. */
function open() {
  const [, , view = "workers", first = null, second = null] = location.pathname.split("/");
  const before = route;
  route = view === "jobs" ? { view, job: first || null, task: second } : { view: "workers", worker: first || null };
  for (const name of ["workers", "jobs"]) {
    find(`view-${name}`).hidden = name !== route.view;
    if (name === route.view) find(`nav-${name}`).setAttribute("aria-current", "page");
    else find(`nav-${name}`).removeAttribute("aria-current");
  }
  title();
  if (route.view === "workers") return workers.route(route.worker);
  find("view-jobs").dataset.depth = route.task ? "task" : route.job ? "job" : "list";
  if (route.job !== before.job) {
    push.subscribe("job", route.job && { type: "job", uuid: route.job });
  }
  jobs.route(route.job);
  job.route(route.job, route.task);
  task.route(route.job, route.task);
  openJob();
}

function openJob() {
  find("nothing-chosen").hidden = Boolean(route.job);
  if (WIDE.matches && route.view === "jobs" && !route.job && jobs.newest) go(`/app/jobs/${jobs.newest}`, { replace: true });
}

/** The task most worth a look: the one that runs, else one that failed, else the last that changed. */
function openTask(tasks) {
  if (!WIDE.matches || route.view !== "jobs" || route.task || tasks.length === 0) return;
  const latest = [...tasks].sort((a, b) => b.updated.localeCompare(a.updated))[0];
  const running = tasks.find(({ status }) => status === "active");
  const failed = tasks.find(({ status }) => status === "failed" || status === "soft-failed");
  go(`/app/jobs/${route.job}/${(running ?? failed ?? latest).id}`, { replace: true });
}

function title() {
  const view = route.view === "jobs" ? "Jobs" : "Workers";
  document.title = farm ? `${view} · ${farm}` : `${view} · Flamenco`;
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href^='/app/']");
  if (!anchor || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(anchor.getAttribute("href"));
});
addEventListener("popstate", open);
find("retry").onclick = () => push.connect();
setInterval(tick, 1_000);

push.subscribe("workers", { type: "allWorkers" });
push.subscribe("jobs", { type: "allJobs" });
open();
push.connect();
api.version().then(({ name }) => {
  farm = name;
  write(find("manager"), name);
  title();
}, () => {});
