// SPDX-License-Identifier: GPL-3.0-or-later
// The Manager's HTTP API, at the Manager's own paths.

const API = "/api/v3";

/** An answer that is not a success; `status` 0 when there was none. */
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body) {
  const init = { method, cache: "no-store" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  const answer = await fetch(path, init).catch(() => {
    throw new Failure(0, "the Manager cannot be reached");
  });
  const text = answer.status === 204 ? "" : await answer.text();
  const value = text && parsed(text);
  if (!answer.ok) throw new Failure(answer.status, value?.message ?? `the Manager answered ${answer.status}`);
  return value || null;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const id = encodeURIComponent;
const WHY = "requested from web interface";

export const version = () => call("GET", `${API}/version`);

export const workers = async () => (await call("GET", `${API}/worker-mgt/workers`)).workers;
export const worker = (of) => call("GET", `${API}/worker-mgt/workers/${id(of)}`);
export const removeWorker = (of) => call("DELETE", `${API}/worker-mgt/workers/${id(of)}`);
export const askWorker = (of, status, lazy) =>
  call("POST", `${API}/worker-mgt/workers/${id(of)}/setstatus`, { status, is_lazy: lazy });

export const jobs = async () => (await call("GET", `${API}/jobs`)).jobs;
export const job = (of) => call("GET", `${API}/jobs/${id(of)}`);
export const deleteJob = (of) => call("DELETE", `${API}/jobs/${id(of)}`);
export const setJob = (of, status) => call("POST", `${API}/jobs/${id(of)}/setstatus`, { status, reason: WHY });
export const lastRendered = (of) => call("GET", `${API}/jobs/${id(of)}/last-rendered`);
export const tasks = async (of) => (await call("GET", `${API}/jobs/${id(of)}/tasks`)).tasks;

export const task = (of) => call("GET", `${API}/tasks/${id(of)}`);
export const setTask = (of, status) => call("POST", `${API}/tasks/${id(of)}/setstatus`, { status, reason: WHY });
/** `null` while nothing is logged. */
export const logInfo = (of) => call("GET", `${API}/tasks/${id(of)}/log`);

/** Bytes of a file, from `start` up to, not including, `end`. */
export async function bytes(url, start, end) {
  const answer = await fetch(url, { cache: "no-store", headers: { Range: `bytes=${start}-${end - 1}` } });
  if (answer.status !== 206) throw new Failure(answer.status, `no such part of ${url}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// The stand-in's own. A Manager without them has no samples.
export const samples = () => call("GET", "/standin/samples").catch(() => []);
export const submitSample = (named) => call("POST", `/standin/samples/${id(named)}`);
