// SPDX-License-Identifier: GPL-3.0-or-later

//! Programs, and the packages that bring them.

use std::path::Path;

use crate::skipped_with_remedy;

/// A line for each: its name in PATH, or the path of a file, and Debian's package.
const PROGRAMS: &str = include_str!("../programs");

/// The programs and their packages.
fn packages() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = PROGRAMS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ').map(|(program, package)| (program, package.trim())))
}

fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).exists();
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether a test is skipped because this program is not there.
#[must_use]
#[track_caller]
pub fn missing(program: &str) -> bool {
    let missing = !is_there(program);
    if missing {
        let package = packages().find_map(|(known, package)| (known == program).then_some(package));
        let remedy = package.map_or_else(|| format!("install {program}"), |it| format!("apt-get install {it}"));
        skipped_with_remedy(&format!("{program} is not installed"), &remedy);
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_path_and_a_path_where_it_is() {
        assert!(is_there("cargo") && is_there("/proc/self/exe"));
        assert!(!is_there("flamenco-nonsense") && !is_there("/proc/self/nonsense"));
        assert!(!missing("cc"));
    }

    #[test]
    fn the_readme_names_each_package() {
        let readme = include_str!("../../../README.md");
        for (program, package) in packages() {
            assert!(readme.contains(&format!("`{package}`")), "{package}, for {program}");
        }
    }
}
