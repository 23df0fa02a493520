//! One conda package: what is in its `info/`, and how it is packed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::archive::{TIME, append_text, archive, conda_file, finished, payload_archive};
use crate::fingerprint::{hex, sha256};
use crate::platform::Platform;

/// Stands in a package's files where the environment's directory belongs. conda makes it 255
/// characters long, so that any shorter path fits into a binary file.
pub(super) const PLACEHOLDER: &str = concat!(
    "/opt/prefix_to_be_replaced_placehold_placehold_placehold_placehold",
    "_placehold_placehold_placehold_placehold_placehold_placehold_placehold",
    "_placehold_placehold_placehold_placehold_placehold_placehold_placehold",
    "_placehold_placehold_placehold_placehold_placehol"
);

/// The metadata of a package.
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) build: &'static str,
    /// Whether it is for every platform.
    pub(super) noarch: bool,
    pub(super) depends: &'static [&'static str],
}

/// A package as the channel lists it.
pub(super) struct Packed {
    pub(super) subdir: String,
    pub(super) file_name: String,
    pub(super) repodata: Value,
}

impl Package {
    /// The directory of the channel that it belongs into.
    pub(super) fn subdir(&self, platform: Platform) -> &'static str {
        if self.noarch {
            "noarch"
        } else {
            platform.subdir
        }
    }

    /// Packs the files below `prefix` as `<directory>/<name>-<version>-<build>.conda`.
    pub(super) fn pack(&self, prefix: &Path, platform: Platform, dir: &Path) -> Result<Packed> {
        let stem = format!("{}-{}-{}", self.name, self.version, self.build);
        let files = files_below(prefix)?;
        let index = self.index(platform);
        let info = info_archive(&index, prefix, &files)?;
        let payload = payload_archive(prefix, &files)?;
        let file_name = format!("{stem}.conda");
        let bytes = conda_file(&stem, &payload, &info)?;
        fs::write(dir.join(&file_name), &bytes)
            .with_context(|| format!("cannot write {file_name}"))?;

        let mut repodata = index;
        repodata["sha256"] = json!(sha256(&bytes));
        repodata["md5"] = json!(hex(&Md5::digest(&bytes)));
        repodata["size"] = json!(bytes.len());
        Ok(Packed {
            subdir: self.subdir(platform).to_owned(),
            file_name,
            repodata,
        })
    }

    fn index(&self, platform: Platform) -> Value {
        let mut index = json!({
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": 0,
            "depends": self.depends,
            "license": "LicenseRef-test",
            "subdir": self.subdir(platform),
            "timestamp": TIME * 1000,
        });
        if self.noarch {
            index["noarch"] = json!("generic");
        } else {
            index["arch"] = json!(platform.conda_arch);
            index["platform"] = json!("linux");
        }
        index
    }
}

/// Every file and link below a directory, relative to it, sorted.
fn files_below(prefix: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![prefix.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(prefix)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A file's line in `info/paths.json`. As conda-build does, a link has the sum and size of
/// what it leads to.
fn path_entry(prefix: &Path, file: &Path) -> Result<Value> {
    let path = prefix.join(file);
    let name = file
        .to_str()
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_link = path.symlink_metadata()?.file_type().is_symlink();
    let mut entry = json!({
        "_path": name,
        "path_type": if is_link { "softlink" } else { "hardlink" },
        "sha256": sha256(&bytes),
        "size_in_bytes": bytes.len(),
    });
    let has_prefix = bytes
        .windows(PLACEHOLDER.len())
        .any(|window| window == PLACEHOLDER.as_bytes());
    if has_prefix && !is_link {
        entry["prefix_placeholder"] = json!(PLACEHOLDER);
        entry["file_mode"] = json!(if bytes.contains(&0) { "binary" } else { "text" });
    }
    Ok(entry)
}

fn info_archive(index: &Value, prefix: &Path, files: &[PathBuf]) -> Result<Vec<u8>> {
    let entries = files
        .iter()
        .map(|file| path_entry(prefix, file))
        .collect::<Result<Vec<_>>>()?;
    let paths = json!({"paths_version": 1, "paths": entries});
    let names: String = files
        .iter()
        .map(|file| format!("{}\n", file.display()))
        .collect();
    let mut archive = archive();
    for (name, text) in [
        ("info/about.json", "{}".to_owned()),
        ("info/files", names),
        ("info/index.json", serde_json::to_string_pretty(index)?),
        ("info/paths.json", serde_json::to_string_pretty(&paths)?),
    ] {
        append_text(&mut archive, name, &text)?;
    }
    finished(archive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const LINUX: Platform = Platform {
        subdir: "linux-64",
        conda_arch: "x86_64",
        debian: "amd64",
    };

    fn package(noarch: bool) -> Package {
        Package {
            name: "tool",
            version: "1.0".into(),
            build: "h_0",
            noarch,
            depends: &["python >=3"],
        }
    }

    fn prefix_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let prefix = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = prefix.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        prefix
    }

    fn members(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut tar = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
        let member = |entry: std::io::Result<tar::Entry<'_, _>>| {
            let mut entry: tar::Entry<'_, zstd::Decoder<'_, _>> = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            (name, (entry.header().mode().unwrap(), bytes))
        };
        tar.entries().unwrap().map(member).collect()
    }

    #[test]
    fn the_placeholder_is_as_long_as_condas() {
        assert_eq!(PLACEHOLDER.len(), 255);
    }

    #[test]
    fn paths_json_tells_text_binary_and_links_apart() {
        let text = format!("#!/bin/sh\necho {PLACEHOLDER}\n");
        let binary = format!("\0{PLACEHOLDER}\0");
        let prefix = prefix_with(&[
            ("bin/t", text.as_bytes()),
            ("share/b", binary.as_bytes()),
            ("plain", b"abc"),
        ]);
        symlink("t", prefix.path().join("bin/link")).unwrap();
        let entry = |file: &str| path_entry(prefix.path(), Path::new(file)).unwrap();

        assert_eq!(
            entry("plain"),
            json!({
                "_path": "plain",
                "path_type": "hardlink",
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "size_in_bytes": 3,
            })
        );
        assert_eq!(entry("bin/t")["file_mode"], "text");
        assert_eq!(entry("bin/t")["prefix_placeholder"], PLACEHOLDER);
        assert_eq!(entry("share/b")["file_mode"], "binary");
        assert_eq!(entry("bin/link")["path_type"], "softlink");
        assert_eq!(entry("bin/link")["sha256"], entry("bin/t")["sha256"]);
        assert_eq!(entry("bin/link").get("file_mode"), None);
    }

    #[test]
    fn a_package_holds_its_files_and_what_it_says_of_them() {
        let prefix = prefix_with(&[("bin/tool", b"#!/bin/sh\n"), ("etc/x", b"x")]);
        fs::set_permissions(
            prefix.path().join("bin/tool"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let packed = package(false)
            .pack(prefix.path(), LINUX, dir.path())
            .unwrap();

        assert_eq!(packed.file_name, "tool-1.0-h_0.conda");
        assert_eq!(packed.subdir, "linux-64");
        let bytes = fs::read(dir.path().join(&packed.file_name)).unwrap();
        assert_eq!(packed.repodata["sha256"], sha256(&bytes));
        assert_eq!(packed.repodata["size"], bytes.len());
        assert_eq!(packed.repodata["depends"], json!(["python >=3"]));

        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut member = |name: &str| {
            let mut bytes = Vec::new();
            zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let payload = members(&member("pkg-tool-1.0-h_0.tar.zst"));
        assert_eq!(payload["bin/tool"].0 & 0o777, 0o755);
        assert_eq!(payload["etc/x"].1, b"x");
        let info = members(&member("info-tool-1.0-h_0.tar.zst"));
        assert_eq!(info["info/files"].1, b"bin/tool\netc/x\n");
        let paths: Value = serde_json::from_slice(&info["info/paths.json"].1).unwrap();
        assert_eq!(paths["paths"].as_array().unwrap().len(), 2);
        assert_eq!(
            serde_json::from_slice::<Value>(&info["info/index.json"].1).unwrap()["platform"],
            "linux"
        );
    }

    #[test]
    fn a_noarch_package_is_generic_and_of_no_platform() {
        let index = package(true).index(LINUX);
        assert_eq!(
            (&index["noarch"], &index["subdir"]),
            (&json!("generic"), &json!("noarch"))
        );
        assert_eq!(index.get("platform"), None);
    }
}
