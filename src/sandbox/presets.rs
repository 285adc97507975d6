// SPDX-License-Identifier: GPL-3.0-or-later

//! What usual programs and drivers read and write beside the files of a job, and what every program does.

/// What a preset opens: patterns, `~` for the user's home directory, `$CACHE` and `$CONFIG` for those of the XDG
/// specification.
#[derive(Debug, Clone, Copy)]
pub(super) struct PresetFiles {
    /// What can be read. What can be written can be read, too.
    pub(super) read: &'static [&'static str],
    /// Folders that are made where they are missing: a cache that cannot be kept is made anew with each task.
    pub(super) caches: &'static [&'static str],
    /// What else can be written.
    pub(super) write: &'static [&'static str],
}

impl PresetFiles {
    /// Its configuration can be read and not written: what a task leaves there the next one would run.
    pub(super) const BLENDER: Self = Self {
        read: &["$CONFIG/blender", "~/.local/share/fonts", "~/.fonts"],
        caches: &[
            "$CACHE/blender",
            "$CACHE/cycles",
            "$CACHE/fontconfig",
            "$CACHE/mesa_shader_cache",
            "$CACHE/mesa_shader_cache_db",
        ],
        write: &[],
    };

    pub(super) const NVIDIA: Self = Self {
        read: &["/proc/driver/nvidia", "/run/nvidia-persistenced", "/dev/dri"],
        caches: &["~/.nv", "$CACHE/nvidia"],
        write: &["/dev/nvidia*", "/dev/nvidia-caps", "/dev/dri"],
    };

    pub(super) const AMD: Self = Self {
        read: &["/opt/rocm*", "/opt/amdgpu*"],
        caches: &[
            "$CACHE/comgr",
            "$CACHE/hip",
            "$CACHE/mesa_shader_cache",
            "$CACHE/mesa_shader_cache_db",
        ],
        write: &["/dev/kfd", "/dev/dri"],
    };

    pub(super) const INTEL: Self = Self {
        read: &["/opt/intel"],
        caches: &[
            "$CACHE/neo_compiler_cache",
            "$CACHE/mesa_shader_cache",
            "$CACHE/mesa_shader_cache_db",
        ],
        write: &["/dev/dri"],
    };
}

/// What every program may write: devices without a content, terminals, and memory that processes share.
pub(super) const ALWAYS_WRITTEN: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
];

/// What every program may read: itself, its libraries, and what the system is like.
pub(super) const ALWAYS_READ: [&str; 16] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix/store",
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/run/systemd/resolve",
    "/run/nscd",
    "/var/cache/fontconfig",
];
