// SPDX-License-Identifier: GPL-3.0-or-later

//! Whose work is linked into the program, with the notices that their licences ask to be passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use serde_json::Value;

/// Names of files with such notices, in capitals, as far as they are always the same.
const NOTICES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];

/// A list of the crates, then each text once, below those it is from.
///
/// # Errors
/// Cargo cannot be asked, or does not answer.
pub(crate) fn notices() -> io::Result<String> {
    let tree = cargo(&[
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
        "--target=x86_64-unknown-linux-gnu",
    ])?;
    let linked: BTreeSet<String> = tree
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version=1"])?)?;
    let mut list = String::from("What is linked into flamenco-worker, and under which licences.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} v{}", text("name"), text("version"));
        // What is ours has no source.
        if package["source"].is_null() || !linked.contains(&name) {
            continue;
        }
        list += &format!("{name}: {}\n", text("license"));
        for notice in files(Path::new(text("manifest_path")).parent())? {
            texts.entry(notice).or_default().push(name.clone());
        }
    }
    let line = "-".repeat(78);
    for (text, names) in &texts {
        list += &format!("\n{line}\n{}\n{line}\n\n{}\n", names.join(", "), text.trim_end());
    }
    Ok(list)
}

/// The texts of a crate's notices.
fn files(folder: Option<&Path>) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in folder.map(fs::read_dir).transpose()?.into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().to_uppercase());
        let is_notice = name.is_some_and(|name| NOTICES.iter().any(|notice| name.starts_with(notice)));
        if is_notice && path.is_file() {
            found.push(String::from_utf8_lossy(&fs::read(path)?).replace('\r', ""));
        }
    }
    found.sort();
    Ok(found)
}

#[expect(clippy::disallowed_methods, reason = "cargo is a program")]
fn cargo(words: &[&str]) -> io::Result<String> {
    let output = Command::new("cargo").args(words).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_linked_is_named_with_the_text_of_the_licence() {
        let text = notices().unwrap();
        for crate_name in ["ring v", "tokio v", "rustls v", "memchr v"] {
            assert!(text.contains(&format!("\n{crate_name}")), "{crate_name}");
        }
        assert!(text.contains("Permission is hereby granted, free of charge"));
        for other in ["proptest v", "clap_mangen v", "flamenco-worker v"] {
            assert!(!text.contains(&format!("\n{other}")), "{other} is not linked");
        }
    }
}
