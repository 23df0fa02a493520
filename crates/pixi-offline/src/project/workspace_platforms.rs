//! The platforms that a manifest names, which of them each platform of a lock is, and which
//! of them pixi takes before the one that a product is made for.

use std::collections::BTreeSet;

use toml_edit::{Array, Value};

use crate::packages::{Lock, LockedPlatform, Subdir, VirtualPackage};

/// A platform of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspacePlatform {
    /// Its name: its own, or that of its subdir. Pixi makes one up for another that has none.
    pub(crate) name: Option<String>,
    /// The part of a channel that its packages come from.
    pub(crate) subdir: Subdir,
    /// What it asks of a machine beyond what every machine of the subdir has.
    asked: BTreeSet<VirtualPackage>,
}

impl WorkspacePlatform {
    /// Reads the array `platforms`; `None` when an entry of it cannot be read.
    pub(crate) fn read_all(platforms: &Array) -> Option<Vec<WorkspacePlatform>> {
        platforms.iter().map(WorkspacePlatform::read).collect()
    }

    /// The name in an entry of the array.
    pub(crate) fn name_of(entry: &Value) -> Option<&str> {
        let of_table = || entry.as_inline_table()?.get("name")?.as_str();
        entry.as_str().or_else(of_table)
    }

    pub(crate) fn read(entry: &Value) -> Option<WorkspacePlatform> {
        let table = entry.as_inline_table();
        let name = WorkspacePlatform::name_of(entry);
        // A name may be that of a subdir, and then stands for it.
        let platform = table.and_then(|table| table.get("platform")?.as_str());
        let subdir: Subdir = platform.or(name)?.parse().ok()?;
        let keys = table.into_iter().flat_map(|table| table.iter());
        let asked = keys.flat_map(|(key, value)| asked_by(key, value));
        Some(WorkspacePlatform {
            name: name.map(str::to_owned),
            subdir,
            asked: asked
                .filter(|one| !one.is_of_every_machine(subdir))
                .collect(),
        })
    }
}

/// The virtual packages of a key in the table of a platform.
fn asked_by(key: &str, value: &Value) -> Vec<VirtualPackage> {
    let named = |name: &str, value: Option<&Value>| {
        let version = value.and_then(Value::as_str)?;
        VirtualPackage::parse(&format!("{name}={version}"))
    };
    let found = match (key, value.as_inline_table()) {
        ("cuda", Some(table)) => {
            return [
                named("__cuda", table.get("driver")),
                named("__cuda_arch", table.get("arch")),
            ]
            .into_iter()
            .flatten()
            .collect();
        }
        ("archspec", _) => value
            .as_str()
            .and_then(|build| VirtualPackage::parse(&format!("__archspec=0={build}"))),
        ("macos" | "osx", _) => named("__osx", Some(value)),
        ("windows", _) => named("__win", Some(value)),
        ("cuda" | "glibc" | "linux", _) => named(&format!("__{key}"), Some(value)),
        _ if key.starts_with("__") => named(key, Some(value)),
        _ => None,
    };
    found.into_iter().collect()
}

/// The platforms of an environment in the lock that pixi takes before the one that was
/// chosen, where a machine has what they ask for; each as its name and, each after a line
/// end, what it asks for.
pub(crate) fn preferred(
    lock: &Lock,
    environment: &str,
    chosen: &LockedPlatform,
    workspace: &[WorkspacePlatform],
) -> Vec<String> {
    let locked = lock.platforms_of(environment, chosen.subdir);
    let names: BTreeSet<&str> = lock.platform_names();
    let of = |entry: usize| {
        let is_it =
            |platform: &&&LockedPlatform| entry_of(platform, &names, workspace) == Some(entry);
        locked.iter().find(is_it).copied()
    };
    (0..workspace.len())
        .filter_map(|entry| Some((entry, of(entry)?)))
        .take_while(|(_, platform)| platform.name != chosen.name)
        .map(|(entry, platform)| {
            let name = workspace[entry].name.as_ref().unwrap_or(&platform.name);
            let mut lines = vec![name.clone()];
            lines.extend(platform.requirements());
            lines.join("\n")
        })
        .collect()
}

/// Which of the workspace's platforms a locked one is, as pixi finds it: the only one with
/// its subdir that asks for the same, whatever the lock calls it (`p1`); unless the lock has
/// that one's name for another platform, or the manifest this one's name. Else the one of
/// its name.
fn entry_of(
    locked: &LockedPlatform,
    names: &BTreeSet<&str>,
    workspace: &[WorkspacePlatform],
) -> Option<usize> {
    let place = |is_it: &dyn Fn(&WorkspacePlatform) -> bool| workspace.iter().position(is_it);
    let is_named = |platform: &WorkspacePlatform| platform.name.as_ref() == Some(&locked.name);
    let asked = locked.asked();
    let mut same = (0..workspace.len()).filter(|entry| {
        workspace[*entry].subdir == locked.subdir && workspace[*entry].asked == asked
    });
    let (Some(entry), None) = (same.next(), same.next()) else {
        return place(&is_named);
    };
    let is_taken = match &workspace[entry].name {
        Some(name) => *name != locked.name && names.contains(name.as_str()),
        None => false,
    };
    match place(&is_named) {
        Some(named) => Some(named),
        None => (!is_taken).then_some(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::LockCache;

    const EVERY: &str =
        "  - __unix=0=0\n  - __linux=4.18\n  - __glibc=2.28\n  - __archspec=0=x86_64\n";

    /// A lock with these platforms of linux-64, each by its name in the lock and what it asks
    /// for; all need the same packages.
    fn lock(platforms: &[(&str, &str)]) -> Lock {
        let mut text = "version: 7\nplatforms:\n".to_owned();
        for (name, asked) in platforms {
            let own = asked.split_whitespace().map(|one| format!("  - {one}\n"));
            let own: String = own.collect();
            // Only what differs from every machine's is in the place of that.
            let every: String = EVERY
                .lines()
                .filter(|line| {
                    !asked.contains(line.trim_start_matches("  - ").split('=').next().unwrap())
                })
                .map(|line| format!("{line}\n"))
                .collect();
            text +=
                &format!("- name: {name}\n  subdir: linux-64\n  virtual-packages:\n{own}{every}");
        }
        text += "environments:\n  default:\n    channels: []\n    packages:\n";
        for (name, _) in platforms {
            text += &format!("      {name}: []\n");
        }
        LockCache::default().parse(text + "packages: []\n").unwrap()
    }

    fn workspace(platforms: &str) -> Vec<WorkspacePlatform> {
        let document = format!("platforms = {platforms}").parse::<toml_edit::DocumentMut>();
        WorkspacePlatform::read_all(document.unwrap()["platforms"].as_array().unwrap()).unwrap()
    }

    /// What is preferred to a platform, by its name in the lock.
    fn before(lock: &Lock, chosen: &str, platforms: &str) -> Vec<String> {
        let chosen = lock.platform("default", chosen).unwrap();
        let all = preferred(lock, "default", chosen, &workspace(platforms));
        all.iter().map(|one| one.replace('\n', "; ")).collect()
    }

    #[test]
    fn a_locked_platform_is_the_one_that_asks_for_the_same() {
        let cuda = "{ name = 'gpu', platform = 'linux-64', cuda = '12' }";
        let glibc = "{ platform = 'linux-64', glibc = '2.34' }";
        let both = [
            ("linux-64", ""),
            ("p1", "__cuda=12.0"),
            ("p2", "__glibc=2.34"),
        ];
        for _ in 0..50 {
            // The order of the manifest changed after the lock was made: the numbers are no
            // places in it.
            let lock = lock(&both);
            assert_eq!(
                before(&lock, "linux-64", &format!("[{glibc}, {cuda}, 'linux-64']")),
                ["p2; __glibc >=2.34", "gpu; __cuda >=12.0"]
            );
            assert_eq!(
                before(&lock, "p1", &format!("[{glibc}, {cuda}, 'linux-64']")),
                ["p2; __glibc >=2.34"]
            );
            assert_eq!(
                before(&lock, "p2", &format!("[{glibc}, {cuda}, 'linux-64']")),
                [""; 0]
            );
            assert_eq!(
                before(&lock, "p2", &format!("['linux-64', {cuda}, {glibc}]")),
                ["linux-64", "gpu; __cuda >=12.0"]
            );
        }
    }

    #[test]
    fn every_way_to_ask_is_read() {
        let asked = "__archspec=0=x86_64_v3 __cuda=12.4 __cuda_arch=8.6 __foo=1=b __linux=5.10";
        let lock = lock(&[("linux-64", ""), ("p1", asked)]);
        let one = "{ platform = 'linux-64', archspec = 'x86_64_v3', cuda = { driver = '12.4', arch = '8.6' }, __foo = '1=b', linux = '5.10' }";
        let found = before(&lock, "linux-64", &format!("[{one}, 'linux-64']"));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("p1; "), "{found:?}");
        // What every machine has is asked of none, in the manifest and in the lock.
        let every = "{ name = 'same', platform = 'linux-64', glibc = '2.28', archspec = 'x86_64' }";
        assert_eq!(workspace(&format!("[{every}]"))[0].asked, BTreeSet::new());
        for other in ["archspec = 'x86_64_v4'", "cuda = '12.5'", "linux = '5.10'"] {
            let one = format!("{{ platform = 'linux-64', {other} }}");
            assert_eq!(
                before(&lock, "linux-64", &format!("[{one}, 'linux-64']")),
                [""; 0]
            );
        }
    }

    #[test]
    fn names_decide_where_two_ask_for_the_same_and_where_nobody_does() {
        let two = "[{ name = 'b', platform = 'linux-64', cuda = '12' }, { name = 'a', platform = 'linux-64', cuda = '12' }, 'linux-64']";
        let named = lock(&[("linux-64", ""), ("a", "__cuda=12")]);
        assert_eq!(before(&named, "linux-64", two), ["a; __cuda >=12"]);
        assert_eq!(
            before(
                &lock(&[("linux-64", ""), ("p1", "__cuda=12")]),
                "linux-64",
                two
            ),
            [""; 0]
        );
        // A lock before a change of the manifest.
        let changed = "[{ name = 'a', platform = 'linux-64', cuda = '13' }, 'linux-64']";
        assert_eq!(before(&named, "linux-64", changed), ["a; __cuda >=12"]);
        // The one that asks for the same has its name in the lock already.
        let taken = lock(&[("gpu", "__cuda=11"), ("old", "__cuda=12"), ("linux-64", "")]);
        let one = "[{ name = 'gpu', platform = 'linux-64', cuda = '12' }, 'linux-64']";
        assert_eq!(before(&taken, "linux-64", one), ["gpu; __cuda >=11"]);
    }
}
