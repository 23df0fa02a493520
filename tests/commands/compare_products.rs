//! What differs between two products, by their lists.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::limit::{COMMAND, Started};
use testbed::sandbox::Run;

use crate::package_cache::Workdir;

/// A workdir whose product `OLD` has the environment `default`; a second product of it comes next.
fn delivered() -> Workdir {
    let workdir = Workdir::new();
    let sandbox = &workdir.sandbox;
    sandbox.write("W/project/demo/a b/old%ä.txt", "old");
    sandbox.write("W/project/demo/main.py", "print(1)");
    sandbox.write("W/resources/model.bin", "model");
    workdir.make(&[]).success();
    fs::rename(workdir.path("W/product"), workdir.path("OLD")).unwrap();
    workdir
}

impl Workdir {
    pub fn path(&self, path: &str) -> std::path::PathBuf {
        self.sandbox.work().join(path)
    }

    fn compare(&self, words: &[&str]) -> Run {
        self.sandbox.run("compare-products", words)
    }
}

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn the_same_product_does_not_differ() {
    let workdir = delivered();
    workdir.make(&[]).success();
    let run = workdir.compare(&["--exit-code", "OLD", "W/product"]);
    run.success()
        .prints("Content: the same to the byte")
        .prints("Packages: nothing changed")
        .prints("Project: nothing changed")
        .prints("Settings: none differ");
    let run = workdir.compare(&["--format", "json", "OLD", "OLD"]);
    let found = json_of(run.success());
    assert_eq!(found["kind"], "pixi-offline product comparison");
    assert_eq!(found["same_product"], json!(true));
}

#[test]
fn packages_files_and_settings_are_told_with_what_differs() {
    let workdir = delivered();
    let sandbox = &workdir.sandbox;
    let lock = workdir.path("W/project/demo/pixi.lock");
    let text = fs::read_to_string(&lock).unwrap();
    // `default` has b in place of a.
    let text = text.replacen("/a-1.0-0.conda", "/b-1.0-0.conda", 1);
    let text = text.replace(
        "linux-64/b-1.0-0.conda\n  sha256: bb",
        "linux-64/b-1.0-0.conda\n  license: MIT\n  sha256: bb",
    );
    fs::write(&lock, text).unwrap();
    fs::remove_dir_all(workdir.path("W/project/demo/a b")).unwrap();
    sandbox.write("W/project/demo/main.py", "print(2)\nprint(3)");
    sandbox.write("W/project/demo/new.py", "");
    sandbox.write("W/resources/model.bin", "MODEL");
    workdir.make(&["--exclude", "*.tmp"]).success();
    let words = ["OLD", "W/product"];
    let run = workdir.compare(&words);
    run.success()
        .prints("Content: different")
        .prints("  added    b (conda) 1.0 (0) [default]")
        .prints("  removed  a (conda) 1.0 (0) [default]")
        .prints("Project: 1 added, 2 removed, 2 changed")
        .prints("  removed  a b/old%ä.txt (3 B)")
        .prints("  removed  a b (directory)")
        .prints("  changed  main.py (8 B -> 17 B)")
        .prints("  added    new.py (0 B)")
        .prints("Resources: 0 added, 0 removed, 1 changed")
        .prints("  changed  model.bin (5 B, content differs)")
        .prints("  excludes: none -> *.tmp");
    workdir
        .compare(&["--exit-code", words[0], words[1]])
        .code(1)
        .says_not("ERROR");
    let json_words = ["--format", "json", words[0], words[1]];
    let found = json_of(workdir.compare(&json_words).success());
    let changes = found["packages"].as_array().unwrap();
    let added = changes.iter().find(|change| change["name"] == "b").unwrap();
    assert_eq!(added["old"], json!([]));
    assert_eq!(added["new"][0]["licence"], "MIT");
    assert_eq!(added["environments"], json!(["default"]));
    assert_eq!(found["same_product"], json!(false));
    let changes = found["project"]["changes"].as_array().unwrap();
    let main = changes.iter().find(|change| change["path"] == "main.py");
    assert_eq!(main.unwrap()["new"]["size"], 17);
    let is_old = |change: &&Value| change["path"] == "a b/old%25%C3%A4.txt";
    assert!(changes.iter().any(|change| is_old(&change)), "{changes:?}");
}

#[test]
fn the_lists_alone_are_enough() {
    let workdir = delivered();
    workdir.sandbox.write("W/project/demo/main.py", "print(2)");
    workdir.make(&[]).success();
    let whole = workdir.compare(&["OLD", "W/product"]);
    for name in ["manifest.json", "sbom.cdx.json"] {
        let text = fs::read(workdir.path("OLD").join(name)).unwrap();
        workdir.sandbox.write(Path::new("LISTS").join(name), text);
    }
    let lists = workdir.compare(&["LISTS", "W/product"]);
    lists.success();
    assert_eq!(lists.stdout, whole.stdout.replace("/OLD:", "/LISTS:"));
    // A record may be elsewhere.
    let lists = json_of(&workdir.compare(&["--format", "json", "LISTS", "W/product"]));
    assert_eq!(lists["old"]["verified"], json!(["not known"]));
    assert_eq!(lists["new"]["verified"], json!(["not verified"]));
}

#[test]
fn what_is_no_product_or_another_one_is_refused_by_name() {
    let workdir = delivered();
    let old = workdir.path("OLD");
    workdir.compare(&["OLD"]).code(2).says("<NEW>");
    workdir.compare(&["OLD", "GONE"]).code(2).says("NEW");
    workdir.make(&[]).success();
    workdir
        .compare(&["OLD", "W"])
        .code(2)
        .says("did you mean ")
        .says("W/product?");
    workdir
        .compare(&["OLD", "W/project"])
        .code(2)
        .says("has no manifest.json")
        .says("name a product");
    let edited = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(old.join(file)).unwrap();
        assert!(text.contains(from), "no {from} in {file}");
        fs::write(old.join(file), text.replacen(from, to, 1)).unwrap();
        let run = workdir.compare(&["OLD", "OLD"]);
        fs::write(old.join(file), text).unwrap();
        run
    };
    edited("manifest.json", "\"format\": 1", "\"format\": 2")
        .code(1)
        .says("has format 2");
    edited("manifest.json", "\"name\": \"demo\"", "\"name\": \"domo\"")
        .code(1)
        .says("manifest.json was changed");
    edited("sbom.cdx.json", "\"six\"", "\"sex\"")
        .code(1)
        .says("sbom.cdx.json is not the file");
    edited("SHA256SUMS", "envs.sh", "envs.sx")
        .code(1)
        .says("envs.sh");
    fs::remove_file(old.join("sbom.cdx.json")).unwrap();
    workdir
        .compare(&["OLD", "OLD"])
        .code(2)
        .says("has no sbom.cdx.json");
}

#[test]
fn products_of_two_projects_are_compared_on_request_only() {
    let workdir = delivered();
    fs::rename(
        workdir.path("W/project/demo"),
        workdir.path("W/project/other"),
    )
    .unwrap();
    workdir.make(&["--project-name", "other"]).success();
    workdir
        .compare(&["OLD", "W/product"])
        .code(2)
        .says("of the project demo")
        .says("--any-project");
    workdir
        .compare(&["--any-project", "OLD", "W/product"])
        .success()
        .prints("  project: demo -> other")
        .prints("Project: nothing changed");
}

/// What a list can be in place of a list.
fn put(file: &Path, what: &str) {
    match what {
        "nothing" => {}
        "a pipe" => {
            Run::of(Command::new("mkfifo").arg(file)).success();
        }
        "a directory" => fs::create_dir(file).unwrap(),
        "a link" => symlink("/dev/zero", file).unwrap(),
        text => fs::write(file, text).unwrap(),
    }
}

#[test]
fn what_is_in_the_place_of_a_list_is_named_and_nothing_is_printed() {
    let workdir = delivered();
    workdir.make(&[]).success();
    let damaged = "cannot be used";
    let other = "is not the file that";
    for (file, what, code, text) in [
        (
            "manifest.json",
            "nothing",
            1,
            "its manifest.json is missing",
        ),
        ("manifest.json", "", 1, damaged),
        ("manifest.json", "{", 1, damaged),
        ("manifest.json", "[]", 1, damaged),
        ("manifest.json", "{}", 1, damaged),
        (
            "manifest.json",
            "{\"kind\": \"other\", \"format\": 1}",
            1,
            damaged,
        ),
        ("manifest.json", "a pipe", 1, "is not a regular file"),
        ("manifest.json", "a link", 1, "is not a regular file"),
        ("manifest.json", "a directory", 1, "is not a regular file"),
        ("sbom.cdx.json", "nothing", 2, "has no sbom.cdx.json"),
        ("sbom.cdx.json", "", 1, other),
        ("sbom.cdx.json", "{}", 1, other),
        ("sbom.cdx.json", "a pipe", 1, "is not a regular file"),
        ("sbom.cdx.json", "a link", 1, "is not a regular file"),
        ("sbom.cdx.json", "a directory", 1, "is not a regular file"),
        ("SHA256SUMS", "", 1, damaged),
        ("SHA256SUMS", "not a list\n", 1, damaged),
        ("SHA256SUMS", "a pipe", 1, "is not a regular file"),
        ("verification.json", "a pipe", 1, "is not a regular file"),
    ] {
        let path = workdir.path("OLD").join(file);
        let text_before = fs::read(&path).ok();
        if text_before.is_some() {
            fs::remove_file(&path).unwrap();
        }
        put(&path, what);
        for words in [["OLD", "W/product"], ["W/product", "OLD"]] {
            let run = workdir.compare(&words);
            assert_eq!(run.code, code, "{file} is {what}: {run}");
            run.says("ERROR: ").says(file).says(text);
            assert_eq!(run.stdout, "", "{file} is {what}");
        }
        match what {
            "nothing" => {}
            "a directory" => fs::remove_dir(&path).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        if let Some(text) = text_before {
            fs::write(path, text).unwrap();
        }
    }
}

#[test]
fn what_is_no_directory_is_refused_and_a_link_to_a_product_is_one() {
    let workdir = delivered();
    workdir.make(&[]).success();
    workdir.sandbox.write("file", "x");
    symlink("OLD", workdir.path("link")).unwrap();
    symlink("nowhere", workdir.path("dangling")).unwrap();
    for (words, text) in [
        (["file", "OLD"], "OLD "),
        (["OLD", "file"], "NEW "),
        (["OLD/manifest.json", "OLD"], "is not a directory"),
        (["dangling", "OLD"], "cannot be used"),
        (["OLD", "OLD/pkg-cache"], "has no manifest.json"),
    ] {
        let run = workdir.compare(&words);
        run.code(2).says("ERROR: ").says(text);
        assert_eq!(run.stdout, "", "{run}");
    }
    workdir
        .compare(&["link", "W/product"])
        .success()
        .prints("Content: the same to the byte");
}

/// A lock may have a wheel of a package for each Python: their versions do not tell which one changed.
#[test]
fn archives_of_one_version_are_told_apart_by_their_names() {
    let workdir = Workdir::new();
    let lock = workdir.path("W/project/demo/pixi.lock");
    let text = fs::read_to_string(&lock).unwrap();
    let second = "https://files.example/six-1.17.0-py2-none-any.whl";
    let usual = "\n      - pypi: https://files.example/six-1.17.0-py3-none-any.whl";
    let with = |digest: &str| {
        text.replace(usual, &format!("{usual}\n      - pypi: {second}"))
            + &format!("- pypi: {second}\n  name: six\n  version: 1.17.0\n  sha256: {digest}\n")
    };
    let link = "wheels-v6/pypi/six/1.17.0-py2-none-any";
    workdir.wheel_for("py2", "six", "1.17.0", "six2-id", link);
    let made = |text: String, name: &str| {
        fs::write(&lock, text).unwrap();
        workdir.make(&[]).success();
        fs::rename(workdir.path("W/product"), workdir.path(name)).unwrap();
    };
    made(text.clone(), "ONE");
    made(with(&"c".repeat(64)), "TWO");
    made(with(&"d".repeat(64)), "OTHER");
    let wheel = "six-1.17.0-py2-none-any.whl (sha256:";
    let run = workdir.compare(&["TWO", "OTHER"]);
    run.success().prints(&format!(
        "  changed  six (pypi) 1.17.0; {wheel}cccccccccccc) -> {wheel}dddddddddddd) [default]"
    ));
    let run = workdir.compare(&["ONE", "TWO"]);
    run.success().prints(&format!(
        "  changed  six (pypi) 1.17.0; none -> {wheel}cccccccccccc) [default]"
    ));
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let workdir = delivered();
    let full = |program: &str, args: &[&str]| {
        let mut command = workdir.sandbox.command(program);
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child = command.args(args).stdout(full).stderr(Stdio::piped());
        let output = Started::within(child, COMMAND).unwrap().output_in_time();
        let output = output.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{program} {args:?}: {told}");
        assert!(told.contains("ERROR: stdout cannot be written: "), "{told}");
    };
    full("compare-products", &["OLD", "OLD"]);
    full("compare-products", &["--format", "json", "OLD", "OLD"]);
    full("compare-products", &["--help"]);
    full("pixi-offline", &["--version"]);
}

#[test]
fn sizes_that_no_file_system_can_hold_are_refused() {
    let workdir = delivered();
    fs::create_dir(workdir.path("lists")).unwrap();
    let text = fs::read_to_string(workdir.path("OLD/manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    let entries = manifest["entries"].as_array_mut().unwrap();
    for entry in entries.iter_mut().filter(|entry| entry["size"].is_u64()) {
        entry["size"] = json!(1_u64 << 63);
    }
    workdir
        .sandbox
        .write("lists/manifest.json", manifest.to_string());
    fs::copy(
        workdir.path("OLD/sbom.cdx.json"),
        workdir.path("lists/sbom.cdx.json"),
    )
    .unwrap();
    workdir
        .compare(&["OLD", "lists"])
        .code(1)
        .says("its sizes add up to more than a file system can hold");
}
