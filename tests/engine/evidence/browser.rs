//! A headless browser whose console and requests are watched.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use testbed::ensure_debian_package;
use testbed::limit::output;

/// What a browser made of a page.
pub struct Shown {
    /// The words that a reader sees.
    pub text: String,
    /// What the page, not the browser, said on the console.
    pub console: Vec<String>,
    /// How many connections were made.
    pub connections: usize,
}

/// A proxy that everything goes to and that answers nothing.
struct Proxy {
    address: String,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap().to_string(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let (connections, stop) = (proxy.connections.clone(), proxy.stop.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok(_) => drop(connections.fetch_add(1, Ordering::Relaxed)),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Runs the browser on a file until the page is loaded; its stdout and stderr.
pub fn chromium(file: &Path, proxy: &str, args: &[&str]) -> (String, String) {
    // The whole browser asks its makers for this and that, whatever it shows.
    let shell = "chromium-headless-shell";
    let program = ensure_debian_package(shell, shell).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut arguments: Vec<OsString> = [
        // It has no use for either in a container or as root.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        "--v=0",
        "--proxy-bypass-list=<-loopback>",
    ]
    .map(OsString::from)
    .into();
    arguments.push(format!("--proxy-server={proxy}").into());
    arguments.push(format!("--user-data-dir={}", home.path().display()).into());
    arguments.extend(args.iter().map(OsString::from));
    arguments.push(format!("file://{}", file.display()).into());
    let mut browser = Command::new(program);
    let output = output(browser.args(arguments).env("HOME", home.path()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    (stdout, stderr)
}

pub fn show(page: &str) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.html");
    fs::write(&file, page).unwrap();
    let proxy = Proxy::start();
    let (dom, log) = chromium(&file, &proxy.address, &["--dump-dom"]);
    Shown {
        text: words_of(&dom),
        console: log
            .lines()
            .filter(|line| line.contains(":CONSOLE"))
            .map(str::to_owned)
            .collect(),
        connections: proxy.connections.load(Ordering::Relaxed),
    }
}

/// The text of a document without its tags and its style, in one line.
pub fn words_of(dom: &str) -> String {
    let body = dom.split_once("</head>").map_or(dom, |(_, body)| body);
    let mut text = String::new();
    for piece in body.split('<') {
        let (tag, after) = piece.split_once('>').unwrap_or(("", piece));
        // Within a line there is no space where a tag is.
        let inline = ["bdi", "/bdi", "code", "/code"]
            .iter()
            .any(|name| tag.starts_with(name));
        text.push_str(if inline { "" } else { " " });
        text.push_str(after);
    }
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn assert_says(text: &str, all: &[&str]) {
    for said in all {
        assert!(text.contains(said), "{said:?} is not in:\n{text}");
    }
}
