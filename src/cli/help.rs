// SPDX-License-Identifier: GPL-3.0-or-later

//! The lower half of `--help`.

/// Headings look as clap's own; it takes the escapes out where they do not belong.
macro_rules! heading {
    ($text:literal) => {
        concat!("\x1b[1m\x1b[4m", $text, ":\x1b[0m")
    };
}

pub(super) const AFTER_HELP: &str = concat!(
    "One dash works as well as two, and `-flag=value` as well as `-flag value`.\n\n",
    heading!("Examples"),
    "
  flamenco-worker -manager http://render-manager:8080/
  flamenco-worker -manager render-manager:8080 -restart-exit-code 47
  FLAMENCO_HOME=/var/lib/flamenco/gpu1 flamenco-worker --config /etc/flamenco/gpu1.toml

",
    heading!("Configuration, the first of these that is there"),
    "
  ./flamenco-worker.toml, ./flamenco-worker.yaml
  $XDG_CONFIG_HOME/flamenco/flamenco-worker.toml, .yaml  (~/.config where it is not set)
  /etc/flamenco/flamenco-worker.toml, .yaml
  What is typed goes before the environment, that before the file.

",
    heading!("Home, where the identity and unsent reports of this worker are kept"),
    "
  $FLAMENCO_HOME, else `home` in the configuration, $STATE_DIRECTORY,
  $XDG_DATA_HOME/flamenco or ~/.local/share/flamenco. One worker per home.

",
    heading!("Environment"),
    "
  FLAMENCO_HOME         the home directory
  FLAMENCO_WORKER_NAME  the name shown by the Manager; the host's name without it
  FLAMENCO_LOG          a level (error, warn, info, debug, trace), or filters as in
                        `info,flamenco_worker::spool=trace`
  NO_COLOR              no colours in the log

",
    heading!("Signals"),
    "
  TERM, INT   stop the task, sign off and end; a second one gives no grace, a third ends at once
  QUIT        the same after the running task is finished
  USR1, USR2  sleep after the running task; wake up
  HUP         read the configuration again; as TERM for a worker in a terminal that goes away

",
    heading!("Exit codes"),
    "
  0    asked to end, by a signal or by the Manager
  1    something failed; the log says what
  2    the command line is wrong
  75   another worker uses this home
  78   the configuration or the home directory cannot be used
  CODE the Manager asked for a restart"
);
