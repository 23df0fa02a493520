//! The bill of materials, by CycloneDX's own strict validator and by what the lock has.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use pixi_offline::evidence::manifest::LockFacts;
use pixi_offline::evidence::sbom;
use pixi_offline::packages::{
    Inventory, Lock, LockCache, Package, PackageSource, PythonCache, Subdir,
};
use serde_json::Value;
use testbed::limit::output;
use testbed::python::ensure_cyclonedx;

/// A lock with a package of each kind, and what makes each of them hard to describe.
const LOCK: &str = "version: 6
environments:
  default:
    channels:
    - url: https://ada:secret@conda.example/t/token/team/label/dev/
    packages:
      linux-64:
      - conda: https://ada:secret@conda.example/t/token/team/label/dev/linux-64/python-3.12.1-h0_0.conda
      - conda: https://ada:secret@conda.example/t/token/team/label/dev/linux-64/_odd_name-1!2.0+local-h1_0.tar.bz2
      - conda: https://ada:secret@conda.example/t/token/team/label/dev/noarch/numpy-2.0-py_0.conda
      - pypi: https://ada:secret@index.example/Six_X-1.17.0-cp312-cp312-linux_x86_64.whl?sig=secret
      - pypi: https://index.example/docopt-0.6.2+cu12.1.tar.gz
      - pypi: git+https://ada:secret@git.example/tool.git?rev=abc#0123456789012345678901234567890123456789
      - pypi: ./näh lib
  old:
    channels:
    - url: https://conda.example/team/
    packages:
      linux-64:
      - conda: https://ada:secret@conda.example/t/token/team/label/dev/noarch/numpy-2.0-py_0.conda
      - pypi: https://index.example/Six_X-1.17.0-cp311-cp311-linux_x86_64.whl
  empty:
    channels:
    - url: https://conda.example/team/
    packages: {}
packages:
- conda: https://ada:secret@conda.example/t/token/team/label/dev/linux-64/python-3.12.1-h0_0.conda
  sha256: aa11111111111111111111111111111111111111111111111111111111111111
  md5: aa111111111111111111111111111111
  depends:
  - __glibc >=2.17,<3.0.a0
  - _odd_name=1!2.0
  - not-in-the-lock >=1
  license: Python-2.0
- conda: https://ada:secret@conda.example/t/token/team/label/dev/linux-64/_odd_name-1!2.0+local-h1_0.tar.bz2
  sha256: bb11111111111111111111111111111111111111111111111111111111111111
  license: GPL-2.0 or so, \"as is\"
- conda: https://ada:secret@conda.example/t/token/team/label/dev/noarch/numpy-2.0-py_0.conda
  md5: cc111111111111111111111111111111
  depends:
  - python
  license: BSD-3-Clause AND (MIT OR Apache-2.0 WITH LLVM-exception)
  purls:
  - pkg:pypi/numpy
- pypi: https://ada:secret@index.example/Six_X-1.17.0-cp312-cp312-linux_x86_64.whl?sig=secret
  name: six-x
  version: 1.17.0
  sha256: dd11111111111111111111111111111111111111111111111111111111111111
  requires_dist:
  - numpy>=1
  - docopt ; extra == 'wanted'
  - tool ; extra == 'unwanted'
- pypi: https://index.example/Six_X-1.17.0-cp311-cp311-linux_x86_64.whl
  name: six-x
  version: 1.17.0
  sha256: ee11111111111111111111111111111111111111111111111111111111111111
- pypi: https://index.example/docopt-0.6.2+cu12.1.tar.gz
  name: docopt
  version: 0.6.2+cu12.1
  sha256: ff11111111111111111111111111111111111111111111111111111111111111
- pypi: git+https://ada:secret@git.example/tool.git?rev=abc#0123456789012345678901234567890123456789
  name: tool
  version: 1.0.0
  requires_dist:
  - six-x[wanted]
- pypi: ./näh lib
  name: naeh-lib
  version: 0.1.0
  sha256: 1111111111111111111111111111111111111111111111111111111111111111
  editable: true
";

fn bill_of(lock: &Lock, environments: &[String], platform: Option<Subdir>) -> String {
    let facts = LockFacts {
        sha256: *lock.digest(),
        version: lock.version(),
        frozen: false,
        original: None,
    };
    let subject = sbom::Subject {
        project: "a <demo> & more",
        environments,
        platform,
        lock: Some(&facts),
        built: &[],
        timestamp: Some("2026-01-02T03:04:05Z"),
    };
    let inventory = Inventory::of(lock, environments, platform);
    sbom::text(&subject, &inventory).unwrap()
}

fn all_environments(lock: &Lock) -> Vec<String> {
    lock.environments().map(str::to_owned).collect()
}

/// The components of a bill by what names them there.
fn components(bill: &str) -> BTreeMap<String, Value> {
    let bill: Value = serde_json::from_str(bill).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let components = bill["components"].as_array().unwrap().iter();
    let named: BTreeMap<_, _> = components
        .clone()
        .map(|component| (text(&component["bom-ref"]), component.clone()))
        .collect();
    assert_eq!(named.len(), components.len(), "a bom-ref twice");
    named
}

/// What the strict validator and the parser of package URLs say of each bill.
pub fn assert_valid(bills: &[(String, String)]) {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("validate.py");
    fs::write(&script, include_str!("validate_sbom.py")).unwrap();
    let mut arguments: Vec<OsString> = vec![script.into_os_string()];
    for (name, bill) in bills {
        let file = dir.path().join(format!("{name}.json"));
        fs::write(&file, bill).unwrap();
        arguments.push(file.into_os_string());
    }
    let output = output(&mut ensure_cyclonedx().unwrap().python(arguments));
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}{failed}");
}

/// Each package that the lock has for some environments, once, as a bill must name it.
fn expected(lock: &Lock, environments: &[String], platform: Subdir) -> BTreeSet<(String, String)> {
    let packages = environments
        .iter()
        .filter_map(|environment| lock.packages(environment, platform))
        .flatten();
    packages
        .map(|package| match &**package {
            Package::Conda(conda) => {
                let sha256 = conda.id.sha256.clone();
                (conda.stem.clone(), sha256.unwrap_or_default())
            }
            Package::CondaSource(source) => (source.id.name.clone(), source.id.source.to_string()),
            Package::Python(python) => {
                let version = python.id.version.clone().unwrap_or_default();
                let (PackageSource::Url(location)
                | PackageSource::Path(location)
                | PackageSource::Git {
                    repository: location,
                    ..
                }) = &python.id.source;
                let file = location.split(['?', '#']).next().unwrap();
                let place = file.rsplit('/').next().unwrap().to_owned();
                (format!("{}-{version}", python.id.name), place)
            }
        })
        .collect()
}

/// The same of a component, by its package URL and where it is.
fn named(component: &Value) -> (String, String) {
    let text = |pointer: &str| {
        component
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let url = text("/purl");
    let build = url
        .split(['?', '&'])
        .find_map(|part| part.strip_prefix("build="));
    let properties = component["properties"].as_array().unwrap();
    let property = |name: &str| {
        properties
            .iter()
            .find(|property| property["name"] == name)
            .map(|property| property["value"].as_str().unwrap())
    };
    let stem = format!("{}-{}", text("/name"), text("/version"));
    match (build, property("pixi-offline:kind")) {
        (Some(build), _) => (
            format!("{stem}-{build}"),
            component["hashes"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|hash| hash["alg"] == "SHA-256")
                .map(|hash| hash["content"].as_str().unwrap().to_owned())
                .unwrap_or_default(),
        ),
        (None, Some("conda package built from source")) => (
            text("/name"),
            property("pixi-offline:path")
                .map(str::to_owned)
                .unwrap_or_else(|| text("/externalReferences/0/url")),
        ),
        (None, _) => {
            let url = text("/externalReferences/0/url");
            let location = property("pixi-offline:path").unwrap_or(&url);
            (stem, location.rsplit('/').next().unwrap().to_owned())
        }
    }
}

#[test]
fn a_bill_names_each_package_once_and_passes_the_strict_validator() {
    let lock = LockCache::default().parse(LOCK.to_owned()).unwrap();
    let all = all_environments(&lock);
    let bill = bill_of(&lock, &all, Some(Subdir::Linux64));
    let components = components(&bill);
    let found: BTreeSet<_> = components.values().map(named).collect();
    assert_eq!(found, expected(&lock, &all, Subdir::Linux64));
    assert_eq!(components.len(), found.len());
    let empty = bill_of(&lock, &["empty".to_owned()], Some(Subdir::Linux64));
    let everywhere = bill_of(&lock, &all, None);
    assert_valid(&[
        ("all".to_owned(), bill),
        ("empty".to_owned(), empty),
        ("everywhere".to_owned(), everywhere),
    ]);
}

#[test]
fn a_bill_says_of_each_package_what_the_lock_knows() {
    let lock = LockCache::default().parse(LOCK.to_owned()).unwrap();
    let bill = bill_of(&lock, &all_environments(&lock), Some(Subdir::Linux64));
    for secret in ["secret", "token", "ada:"] {
        assert!(!bill.contains(secret), "{secret} is in {bill}");
    }
    let components = components(&bill);
    let of = |reference: &str| {
        components
            .get(reference)
            .unwrap_or_else(|| panic!("no {reference} in {:#?}", components.keys()))
    };

    let python =
        "pkg:conda/python@3.12.1?build=h0_0&channel=team/label/dev&subdir=linux-64&type=conda";
    let found = of(python);
    assert_eq!(found["purl"], python);
    assert_eq!(found["licenses"][0]["expression"], "Python-2.0");
    assert_eq!(found["hashes"][0]["alg"], "SHA-256");
    assert_eq!(found["hashes"][1]["alg"], "MD5");
    assert_eq!(
        found["hashes"][1]["content"],
        "aa111111111111111111111111111111"
    );
    assert_eq!(
        found["externalReferences"][0]["url"],
        "https://conda.example/team/label/dev/linux-64/python-3.12.1-h0_0.conda"
    );

    let odd = "pkg:conda/_odd_name@1%212.0%2Blocal?build=h1_0&channel=team/label/dev&subdir=linux-64&type=tar.bz2";
    let licence = &of(odd)["licenses"][0]["license"]["name"];
    assert_eq!(licence, "GPL-2.0 or so, \"as is\"");

    let numpy = "pkg:conda/numpy@2.0?build=py_0&channel=team/label/dev&subdir=noarch&type=conda";
    let environments: Vec<_> = of(numpy)["properties"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|property| property["name"] == "pixi-offline:environment")
        .map(|property| property["value"].as_str().unwrap())
        .collect();
    assert_eq!(environments, ["default", "old"]);

    let tool = components
        .keys()
        .find(|reference| reference.starts_with("pkg:pypi/tool@1.0.0?vcs_url=git"))
        .unwrap();
    let source = &of(tool)["externalReferences"][0];
    assert_eq!(source["type"], "vcs");
    assert_eq!(source["url"], "https://git.example/tool.git");
    assert_eq!(
        source["comment"],
        "commit 0123456789012345678901234567890123456789"
    );

    // No registry has it, and the digest that some locks give is not of an archive.
    let dir = of("pkg:generic/naeh-lib");
    assert_eq!(dir.get("hashes"), None);
    assert_eq!(dir.get("externalReferences"), None);

    // Two wheels of one version.
    let wheels: Vec<_> = components
        .keys()
        .filter(|reference| reference.starts_with("pkg:pypi/six-x@1.17.0#"))
        .collect();
    assert_eq!(wheels.len(), 2);

    let bill: Value = serde_json::from_str(&bill).unwrap();
    let depends_on = |reference: &str| -> Vec<String> {
        let entries = bill["dependencies"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["ref"] == reference)
            .unwrap();
        let names = entry["dependsOn"].as_array().into_iter().flatten();
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(depends_on(python), [odd]);
    assert_eq!(depends_on(numpy), [python]);
    let new = wheels
        .iter()
        .find(|wheel| !depends_on(wheel).is_empty())
        .unwrap();
    assert_eq!(depends_on(new), ["pkg:pypi/docopt@0.6.2%2Bcu12.1", numpy]);
    assert_eq!(depends_on(tool), [new.to_string()]);
}

#[test]
fn a_bill_is_the_same_for_the_same_input_and_has_another_number_for_another() {
    let lock = LockCache::default().parse(LOCK.to_owned()).unwrap();
    let all = all_environments(&lock);
    let bill = bill_of(&lock, &all, Some(Subdir::Linux64));
    assert_eq!(bill, bill_of(&lock, &all, Some(Subdir::Linux64)));
    let number = |bill: &str| {
        let bill: Value = serde_json::from_str(bill).unwrap();
        bill["serialNumber"].as_str().unwrap().to_owned()
    };
    let other = bill_of(&lock, &all[..1], Some(Subdir::Linux64));
    assert!(number(&bill).starts_with("urn:uuid:"));
    assert_ne!(number(&bill), number(&other));
}

#[test]
fn licences_of_python_packages_come_from_their_wheels() {
    let dir = tempfile::tempdir().unwrap();
    let wheel = |id: &str, name: &str, metadata: &str| {
        let dir = dir
            .path()
            .join("uv-cache/archive-v0")
            .join(id)
            .join(format!("{name}.dist-info"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("METADATA"), metadata).unwrap();
    };
    wheel("a", "six_x-1.17.0", "License-Expression: MIT\n");
    wheel("b", "docopt-0.6.2+cu12.1", "License: one thing\n");
    wheel("c", "docopt-0.6.2+cu12.1", "License: another\n");
    let lock = LockCache::default().parse(LOCK.to_owned()).unwrap();
    let mut inventory = Inventory::of(&lock, &["default".to_owned()], Some(Subdir::Linux64));
    inventory.add_python_licences(&PythonCache::read(dir.path()));
    let licence = |name: &str| {
        let mut packages = inventory.packages().iter();
        let package = packages
            .find(|package| package.package.id().name == name)
            .unwrap();
        package.licence.as_deref()
    };
    assert_eq!(licence("six-x"), Some("MIT"));
    assert_eq!(licence("docopt"), None, "two wheels say different things");
    assert_eq!(licence("python"), Some("Python-2.0"));
}

/// Real locks, odd ones, in a directory that `PIXI_LOCK_SAMPLES` names.
#[test]
fn bills_of_real_locks_pass_the_strict_validator() {
    let Some(dir) = std::env::var_os("PIXI_LOCK_SAMPLES") else {
        eprintln!("not checked: PIXI_LOCK_SAMPLES is not set");
        return;
    };
    let mut bills = Vec::new();
    for file in locks_in(Path::new(&dir)) {
        let lock = LockCache::default().read(&file).unwrap().unwrap();
        let all = all_environments(&lock);
        let platforms: BTreeSet<Subdir> = all
            .iter()
            .flat_map(|environment| lock.platforms(environment).unwrap())
            .map(|platform| platform.subdir)
            .collect();
        for platform in platforms {
            let name = file.parent().unwrap().file_name().unwrap().display();
            let name = format!("{name}-{platform}");
            let bill = bill_of(&lock, &all, Some(platform));
            let components = components(&bill);
            let found: BTreeSet<_> = components.values().map(named).collect();
            assert_eq!(found, expected(&lock, &all, platform), "{name}");
            assert_eq!(found.len(), components.len(), "{name}");
            bills.push((name, bill));
        }
    }
    assert!(!bills.is_empty(), "no sample");
    assert_valid(&bills);
    testbed::ran(
        "bills_of_real_locks_pass_the_strict_validator",
        bills.len() as u64,
    );
}

fn locks_in(dir: &Path) -> Vec<PathBuf> {
    let mut locks: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("pixi.lock"))
        .filter(|lock| lock.is_file())
        .collect();
    locks.sort();
    locks
}
