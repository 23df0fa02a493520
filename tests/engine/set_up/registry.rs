//! A container registry on loopback that has one image, of which it knows as much as a pull asks
//! (the OCI distribution specification, "Pull").

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use testbed::sandbox::Run;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIGURATION: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A registry that is being served as long as this value is there.
pub struct Registry {
    address: SocketAddr,
    image: String,
    asked: Arc<Mutex<String>>,
    _dir: tempfile::TempDir,
}

/// What is at a path: its type and its file.
type Pages = BTreeMap<String, (&'static str, PathBuf)>;

impl Registry {
    /// One that has an image of the engine as `name:tag`.
    pub fn with(image: &str, name: &str, tag: &str) -> Registry {
        let dir = tempfile::tempdir().unwrap();
        let pages = pages(dir.path(), image, name, tag);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&asked);
        let pages = Arc::new(pages);
        // Ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (pages, log) = (Arc::clone(&pages), Arc::clone(&log));
                thread::spawn(move || answer(&stream, &pages, &log));
            }
        });
        Registry {
            address,
            image: format!("{name}:{tag}"),
            asked,
            _dir: dir,
        }
    }

    /// What the image is pulled by.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.address, self.image)
    }

    /// The requests that came, a line each.
    pub fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }
}

/// Takes the image out of the engine and lays it out as a registry has it.
fn pages(dir: &Path, image: &str, name: &str, tag: &str) -> Pages {
    let archive = dir.join("image.tar");
    let save = ["save", "--output", archive.to_str().unwrap(), image];
    Run::of(Command::new("docker").args(save)).success();
    tar::Archive::new(File::open(&archive).unwrap())
        .unpack(dir)
        .unwrap();
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(dir.join(file)).unwrap()).unwrap()
    };
    let saved = &read("manifest.json")[0];
    let file = |value: &Value| value.as_str().unwrap().to_owned();
    let configuration = file(&saved["Config"]);
    let about = read(&configuration);
    // The layers are not packed: their digests are those that the image knows them by.
    let digests = about["rootfs"]["diff_ids"].as_array().unwrap();
    let layers = saved["Layers"].as_array().unwrap();
    let id = Run::of(Command::new("docker").args(["inspect", "--format", "{{.Id}}", image]));
    let id = id.success().stdout.trim().to_owned();

    let mut pages = Pages::new();
    let mut blob = |kind: &'static str, digest: &str, file: &str| {
        let path = dir.join(file);
        let size = fs::metadata(&path).unwrap().len();
        pages.insert(format!("/v2/{name}/blobs/{digest}"), (kind, path));
        json!({"mediaType": kind, "size": size, "digest": digest})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blob(CONFIGURATION, &id, &configuration),
        "layers": digests.iter().zip(layers)
            .map(|(digest, layer)| blob(LAYER, &file(digest), &file(layer)))
            .collect::<Vec<_>>(),
    });
    let manifest_file = dir.join("the-manifest");
    fs::write(&manifest_file, manifest.to_string()).unwrap();
    let empty = dir.join("empty");
    fs::write(&empty, "{}").unwrap();
    pages.insert("/v2/".to_owned(), ("application/json", empty));
    let sum = Run::of(Command::new("sha256sum").arg(&manifest_file));
    let digest = format!("sha256:{}", &sum.success().stdout[..64]);
    for reference in [tag, &digest] {
        let path = format!("/v2/{name}/manifests/{reference}");
        pages.insert(path, (MANIFEST, manifest_file.clone()));
    }
    pages
}

/// Answers one request.
fn answer(mut stream: &TcpStream, pages: &Pages, log: &Mutex<String>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let _headers = lines.take_while(|line| !line.is_empty()).count();
    log.lock().unwrap().push_str(&format!("{request}\n"));
    let mut parts = request.split(' ');
    let (method, path) = (parts.next(), parts.next().unwrap_or_default());
    let _ = match pages.get(path) {
        None => stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Some((kind, file)) => (|| {
            let size = fs::metadata(file)?.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\
                 Docker-Distribution-Api-Version: registry/2.0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes())?;
            if method == Some("GET") {
                std::io::copy(&mut File::open(file)?, &mut stream)?;
            }
            Ok(())
        })(),
    };
}
