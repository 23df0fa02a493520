//! A channel behind a company's certificate authority, a login and a proxy.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use testbed::ensure_debian_package;
use testbed::limit::{InTime as _, Started};
use testbed::project::Manifest;
use testbed::sandbox::{Run, words};

use crate::real::{Real, channel, image};

const PASSWORD: &str = "Ahf7Oiqu-Kei4vohz";
const PROXY_PASSWORD: &str = "oochie9Aiz/Fo";

/// The address of this machine in the engine's default network.
fn gateway() -> String {
    // The engine does not always tell it: what a container has as its default route does.
    let args = [
        "run",
        "--rm",
        "--entrypoint",
        "cat",
        &image().reference,
        "/proc/net/route",
    ];
    let run = Run::of(Command::new("docker").args(args));
    let routes = run.success().stdout.clone();
    let mut lines = routes
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let default = lines
        .find(|fields| fields.get(1) == Some(&"00000000"))
        .unwrap();
    // In the byte order of the machine.
    let address = u32::from_str_radix(default[2], 16).unwrap();
    Ipv4Addr::from(address.to_ne_bytes()).to_string()
}

/// A site that serves the channel, a proxy, and a project that is locked to the site.
struct Company {
    real: Real,
    address: String,
    proxy_port: String,
    _server: Started,
}

impl Company {
    fn start() -> Company {
        let manifest = Manifest::new("demo").dependency("flavour", "2.0");
        let manifest = manifest.task("smoke", "true");
        let real = Real::with_project(&image().reference, &manifest);
        let address = gateway();
        let certificate = |name: &str, extensions: &[&str]| {
            let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
            let usual = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
            let mut openssl = real.sandbox.program("openssl");
            openssl.args(usual.split(' '));
            openssl.args([
                "-subj",
                &format!("/CN={name}"),
                "-keyout",
                &key,
                "-out",
                &file,
            ]);
            Run::of(openssl.args(extensions)).success();
        };
        certificate("company", &["-addext", "basicConstraints=critical,CA:TRUE"]);
        let name = format!("subjectAltName=IP:{address}");
        let signed = ["-CA", "company.pem", "-CAkey", "company.key"];
        let leaf = format!("-addext basicConstraints=critical,CA:FALSE -addext {name}");
        let leaf = words(&leaf);
        certificate("site", &[&signed[..], &leaf].concat());

        fs::create_dir(real.path("served")).unwrap();
        symlink(&channel().dir, real.path("served/channel")).unwrap();
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/engine/products/company_network.py"
        );
        let mut python = real.sandbox.program("python3");
        python.args([script, "served", "site.pem", "site.key"]);
        python.args([format!("joe:{PASSWORD}"), format!("eve:{PROXY_PASSWORD}")]);
        let errors = fs::File::create(real.path("proxy.log")).unwrap();
        python
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut server = python.start().unwrap();
        let mut ports = String::new();
        let stdout = server.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut ports).unwrap();
        let (port, proxy_port) = ports.trim().split_once(' ').unwrap();

        let url = format!("https://{address}:{port}/channel");
        for file in ["demo/pixi.toml", "demo/pixi.lock"] {
            let text = real.read(file);
            fs::write(real.path(file), text.replace(&channel().url, &url)).unwrap();
        }
        let login = serde_json::json!({"username": "joe", "password": PASSWORD});
        let logins = serde_json::json!({&address: {"BasicHTTP": login}});
        fs::write(real.path("auth.json"), logins.to_string()).unwrap();
        fs::set_permissions(real.path("auth.json"), fs::Permissions::from_mode(0o600)).unwrap();
        Company {
            proxy_port: proxy_port.to_owned(),
            real,
            address,
            _server: server,
        }
    }

    /// Looks for what was handed over in all that was made.
    #[track_caller]
    fn leaves_no_trace(&self, run: &Run) {
        let certificate = fs::read_to_string(self.real.path("company.pem")).unwrap();
        let line = certificate.lines().nth(1).unwrap();
        for text in [PASSWORD, PROXY_PASSWORD, line, "company.pem", "auth.json"] {
            // The program in helpers/ is ours and knows these names, and pixi its own.
            let args = ["-rlF", "--exclude-dir=helpers", "--exclude=pixi", text, "W"];
            let found = Run::of(self.real.sandbox.program("grep").args(args));
            assert_eq!(
                (found.code, found.stdout.as_str()),
                (1, ""),
                "{text}: {found}"
            );
        }
        for secret in [PASSWORD, PROXY_PASSWORD] {
            let shown = run.stdout.contains(secret) || run.stderr.contains(secret);
            assert!(!shown, "{run}");
        }
    }
}

#[test]
fn a_company_network_leaves_no_trace_by_each_transport() {
    const NAME: &str = "company_network::a_company_network_leaves_no_trace_by_each_transport";
    for program in ["openssl", "python3"] {
        if let Err(reason) = ensure_debian_package(program, program) {
            return testbed::skip(NAME, &format!("{reason:#}"));
        }
    }
    let mut company = Company::start();
    let real = &company.real;
    let task = ["--verify-task", "smoke"];
    let certificate = ["--ca-cert", "company.pem"];
    let login = ["--auth-file", "auth.json"];

    // What is missing is named by its option.
    real.build(&task)
        .says("give your company's with --ca-cert FILE");
    let run = real.build(&[certificate, task].concat());
    run.says("the server requires a login: give --auth-file FILE");
    assert_ne!(run.code, 0, "{run}");

    let mounted = real.build(&[&certificate[..], &login, &["--transfer", "mount"], &task].concat());
    mounted.success().says("auth.json: a login file of pixi");
    company.leaves_no_trace(&mounted);

    // Into volumes, and through a proxy, with an empty cache: all of it is fetched again.
    let proxy = format!(
        "http://eve:{}@{}:{}",
        PROXY_PASSWORD.replace('/', "%2F"),
        company.address,
        company.proxy_port
    );
    company.real.sandbox.set("HTTPS_PROXY", proxy);
    let real = &company.real;
    let copied = real.build(
        &[
            &certificate[..],
            &login,
            &["--transfer", "copy", "--fresh"],
            &task,
        ]
        .concat(),
    );
    copied.success().says("HTTPS_PROXY=http://***@");
    let through = real.read("proxy.log");
    assert!(through.contains("through the proxy"), "{through}");
    company.leaves_no_trace(&copied);
    testbed::ran(NAME, 2);
}
