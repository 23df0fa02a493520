//! What a hostile container does to which path that it can write.

/// What is put in the place of a path; `plant.sh` has a branch for each.
pub const ACTIONS: [&str; 15] = [
    "link-to-file",
    "fifo",
    "link-to-dir",
    "dir",
    "link-to-nothing",
    "device",
    "swapped",
    "link-upwards",
    "socket",
    "link-to-device",
    "setuid",
    "long-name",
    "chain",
    "locked-dir",
    "link-to-itself",
];

/// Paths that the commands read, write, rename or remove, or that a person reads, none
/// inside another one. In the words of `plant.sh`.
pub const FILES: [&str; 20] = [
    "$out/verify.log",
    "$out/pixi-install.log",
    "$out/verify.offline.log",
    "$out/bootstrap.offline.log",
    "$out/verification.json",
    "$out/.pixi-offline-new-copier",
    "$out/of-the-verification",
    "$out/sub/of-the-verification",
    "$project/pixi.lock",
    "$project/pixi.toml",
    "$project/.pixi/config.toml",
    "$project/data",
    "$cache/pixi-offline-bin/pixi",
    "$cache/pkgs/planted",
    "$cache/uv-cache/planted",
    "$cache/planted",
    "$resources/planted",
    "$top/workdir.json",
    "$top/workdir.json.new",
    "$top/stray",
];

/// Directories that hold such paths.
pub const DIRS: [&str; 9] = [
    "$out",
    "$resources",
    "$cache/pkgs",
    "$cache/uv-cache",
    "$cache/pixi-offline-bin",
    "$project/.pixi",
    "$top/helpers",
    "$top/product",
    "$top/out/verify.log",
];

/// What holds nearly everything.
pub const ROOTS: [&str; 4] = ["$project", "$cache", "$resources", "$top/out"];

/// When a plan is followed: by `pixi install`, or by the verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Install,
    Run,
}

impl When {
    /// A line of a plan.
    pub fn line(self, action: &str, place: &str) -> String {
        let when = match self {
            When::Install => "install",
            When::Run => "run",
        };
        format!("{when} {action} {place}\n")
    }

    /// A plan that puts something in the place of each path: another thing in each round,
    /// so that as many rounds as there are actions try all of them.
    pub fn plan(self, places: &[&str], round: usize) -> String {
        let lines = places.iter().enumerate().map(|(index, place)| {
            let action = ACTIONS[(index + round) % ACTIONS.len()];
            self.line(action, place)
        });
        lines.collect()
    }
}

/// The cases of a plan that a run says were planted.
pub fn planted(stdout: &str) -> Vec<(&str, &str)> {
    stdout
        .lines()
        .filter_map(|line| line.strip_prefix("planted ")?.split_once(' '))
        .collect()
}
