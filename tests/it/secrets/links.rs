// SPDX-License-Identifier: GPL-3.0-or-later

//! Links that a task puts into its folders, for the worker to follow.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use standin_manager::CommandSpec;
use test_bed::logged;

use crate::sandbox::{Bed, User, no_landlock};

/// Takes itself for Blender, and is not going to finish. Its output is a folder of others.
const RENDERER: &str = "#!/bin/bash\nout=${2%/*}; ln -s \"${out%/*/*}/outside\" \"$out\"\necho waiting\nuntil [ -e \"${out%/*}/go\" ]; do sleep 0.02; done\nexit 1\n";

#[test]
fn n35_a_link_in_the_place_of_an_output_has_the_worker_set_aside_nothing_elsewhere() {
    if no_landlock() {
        return;
    }
    for is_killed in [false, true] {
        let Some(mut bed) = Bed::new(User::Ours, &["write = [\"SHARED\"]"]) else {
            return;
        };
        let renderer = bed.at("shared/renderer");
        fs::write(&renderer, RENDERER).unwrap();
        fs::set_permissions(&renderer, PermissionsExt::from_mode(0o755)).unwrap();
        let parameters = json!({
            "exe": renderer, "exeArgs": "", "blendfile": "",
            "args": ["-o", bed.at("shared/out/x####"), "-F", "PNG", "-f", "1..2"],
        });
        let task = bed.farm.task(&[CommandSpec::new("blender-render", parameters)]);
        bed.farm.says(&task, "> waiting");
        // Somebody else's, who is not done with it.
        let precious = bed.at("outside/x0001.png");
        fs::write(&precious, "half").unwrap();
        let refused = format!("Cannot set aside {}", bed.at("shared/out/x0001.png").display());
        if is_killed {
            bed.node.kill();
            bed.node.start();
            logged(&bed.node, &refused);
        } else {
            fs::write(bed.at("shared/go"), "").unwrap();
            bed.farm.failed(&task);
            bed.farm.says(&task, &refused);
        }
        fs::write(bed.at("shared/go"), "").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"half");
        fs::remove_file(&precious).unwrap();
        bed.nothing_has_changed();
        bed.node.finish();
    }
}
