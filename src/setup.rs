// SPDX-License-Identifier: GPL-3.0-or-later

//! What follows from a configuration, for the worker that starts with it and for the subcommands that check it.

use std::env;
use std::path::{Path, PathBuf};

use glob::Pattern;
use nix::unistd::{SysconfVar, sysconf};
use reqwest::header::HeaderMap;

use crate::config::{Config, Environment, MemoryLimit, sought_before};
use crate::files::temporary_folder;
use crate::home::patterns_beside;
use crate::manager::{self, ClientIdentity, ConnectionOptions, TlsError, TlsFiles};
use crate::manager_url::ManagerUrl;
use crate::node::Requirements;
use crate::own_program::own_path;
use crate::sandbox::{KernelSupport, OwnFiles, Sandbox, SandboxRules};

/// What to do where the search for a Manager does not find the one that is meant.
pub(crate) fn how_to_name_a_manager(config: &Config) -> String {
    let toml = config
        .file
        .as_deref()
        .filter(|file| file.extension() == Some("toml".as_ref()));
    let file = toml.unwrap_or(Path::new("flamenco-worker.toml")).display();
    format!("start with -manager http://host:8080/, or set manager = \"http://host:8080/\" in {file}")
}

/// How the Manager at `url` is reached. Reads files. The headers, which may be secret, are for the one that was `configured`:
/// one that was found may be anybody, and has answered without them.
///
/// # Errors
/// When what is configured for TLS cannot be used.
pub(crate) fn connection_options(
    url: &ManagerUrl,
    configured: Option<&ManagerUrl>,
    config: &Config,
) -> Result<ConnectionOptions, TlsError> {
    let identity = config.tls.client_certificate.clone().zip(config.tls.client_key.clone());
    let trust = TlsFiles {
        ca_file: config.tls.ca_file.clone(),
        identity: identity.map(|(certificate, key)| ClientIdentity { certificate, key }),
    };
    Ok(ConnectionOptions {
        tls: manager::tls_config(url, &trust)?,
        headers: match configured == Some(url) {
            true => config.headers.clone(),
            false => HeaderMap::new(),
        },
    })
}

/// The folder beside the program where the Go worker's packages keep their FFmpeg.
pub(crate) fn tools_folder() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.parent().unwrap_or(&own).join("tools")
}

/// The limit in bytes. Where the machine does not say how much memory it has, a share of it is all there could be.
pub(crate) fn bytes_of_memory(limit: MemoryLimit) -> u64 {
    match limit {
        MemoryLimit::Bytes(bytes) => bytes,
        MemoryLimit::Percent(percent) => {
            let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(0);
            let pages = sysconf(SysconfVar::_PHYS_PAGES).ok().flatten().unwrap_or(0);
            match u64::try_from(page.saturating_mul(pages)) {
                Ok(all @ 1..) => all / 100 * u64::from(percent),
                Ok(0) | Err(_) => i64::MAX.unsigned_abs(),
            }
        }
    }
}

/// The folder of the home for temporary directories that can be made nowhere else.
pub(crate) const SPARE_TMP: &str = "tmp";

/// The folder of the home for what a Blender that is kept reads.
pub(crate) const WARM: &str = "warm";

/// What tasks may do on this node.
pub(crate) fn sandbox_rules(config: &Config) -> SandboxRules {
    let settings = &config.sandbox;
    SandboxRules {
        programs: settings.programs.clone(),
        write: settings.write.clone(),
        read: settings.read.clone(),
        network: settings.network.clone(),
        presets: settings.presets.clone(),
        require: settings.require,
    }
}

/// What holds tasks to that; `None` where nothing is set. What a worker keeps in its home for tasks can be read.
pub(crate) fn sandbox(config: &Config, environment: &Environment, home: &Path) -> Option<Sandbox> {
    let tls = &config.tls;
    let secret = [config.file.clone(), tls.client_key.clone()].into_iter().flatten();
    let hidden = [home.to_owned()]
        .into_iter()
        .chain(secret)
        .chain(config.secret_files.iter().cloned());
    let own = OwnFiles {
        hidden: hidden.map(|path| environment.absolute(path)).collect(),
        earlier: sought_before(config.file.as_deref(), environment)
            .into_iter()
            .map(|path| environment.absolute(&path))
            .collect(),
        others: [
            patterns_beside(&environment.absolute(home)),
            copies_of(config, environment),
        ]
        .concat(),
        // Whom it believes to be its Manager, and who it is to that.
        kept: [tls.ca_file.clone(), tls.client_certificate.clone()]
            .into_iter()
            .flatten()
            .map(|path| environment.absolute(path))
            .collect(),
        // The script in a Blender that is kept.
        shown: config.warm.blender.then(|| home.join(WARM)).into_iter().collect(),
        spare: vec![home.join(SPARE_TMP)],
        user: environment.home(),
        cache: environment.xdg("XDG_CACHE_HOME", ".cache"),
        config: environment.xdg("XDG_CONFIG_HOME", ".config"),
        path: environment.get("PATH").map(ToOwned::to_owned),
        program: own_path(),
        written_in: config.file.clone(),
    };
    Sandbox::new(&sandbox_rules(config), own)
}

/// Patterns of what editors, packages and people leave beside a configuration: its tokens are in each.
fn copies_of(config: &Config, environment: &Environment) -> Vec<String> {
    let file = config.file.as_ref().map(|file| environment.absolute(file));
    let named = file.as_ref().and_then(|file| {
        let (folder, name) = (file.parent()?.to_str()?, file.file_stem()?.to_str()?);
        Some((Pattern::escape(folder), Pattern::escape(name)))
    });
    let patterns = named.map(|(folder, name)| [format!("{folder}/{name}*"), format!("{folder}/.{name}*")]);
    patterns.into_iter().flatten().collect()
}

/// What of the sandbox this kernel cannot enforce, where there is one.
pub(crate) fn not_enforced(config: &Config) -> Option<String> {
    KernelSupport::ask().lacks(&sandbox_rules(config)).all()
}

/// What a rule asks for and this kernel does not have, where no task is to be run without it.
fn unenforced(rules: &SandboxRules) -> Option<String> {
    let lacking = rules.require.then(|| KernelSupport::ask().lacks(rules).rules)?;
    (!lacking.is_empty()).then(|| lacking.join(", "))
}

/// What this node needs. Space is needed wherever tasks or the worker itself write; where the folder for temporary directories is
/// not there, they are in the home.
pub(crate) fn requirements(config: &Config, home: &Path) -> Requirements {
    let needs = &config.node;
    let temporary = Some(temporary_folder()).filter(|folder| folder.is_dir());
    let ours = temporary.into_iter().chain([home.to_owned()]);
    Requirements {
        mounted: needs.mounted.clone(),
        readable: needs.readable.clone(),
        writable: needs.writable.clone(),
        free_space: needs.free_space,
        roomy: needs.writable.iter().cloned().chain(ours).collect(),
        unenforced: unenforced(&sandbox_rules(config)),
    }
}
