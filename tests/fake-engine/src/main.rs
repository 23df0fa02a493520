//! A `docker` for tests: writes each call's arguments down, one JSON array a line,
//! and answers as the scenario says. It proves arguments, exit codes and what
//! is left on this side; only a real engine proves a product.
//!
//! `FAKE_DOCKER_SCENARIO` names the scenario, a JSON file; `FAKE_DOCKER_CALLS`
//! the file that calls are written to.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test program, not the core that the rules are for"
)]

mod scenario;

use std::fs::OpenOptions;
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pixi_offline::container::protocol::{ScriptEvent, Tokens};

use scenario::{BUILT, Scenario};

fn main() -> ExitCode {
    match answer() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("fake docker: {error:#}");
            ExitCode::from(99)
        }
    }
}

fn answer() -> anyhow::Result<u8> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut calls = OpenOptions::new()
        .create(true)
        .append(true)
        .open(variable("FAKE_DOCKER_CALLS")?)?;
    calls.write_all(format!("{}\n", serde_json::to_string(&args)?).as_bytes())?;
    let scenario: Scenario =
        serde_json::from_slice(&std::fs::read(variable("FAKE_DOCKER_SCENARIO")?)?)?;

    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if scenario.leaves_in_the_build && was_called("build")? && args[0] != "build" {
        eprintln!("Cannot connect to the Docker daemon");
        return Ok(1);
    }
    match args.as_slice() {
        ["version", ..] => match scenario.no_daemon {
            Some(message) => {
                eprintln!("{message}");
                Ok(1)
            }
            None => {
                let mut server = match scenario.is_podman {
                    true => serde_json::json!({"Version": "4.3.1", "APIVersion": "4.3.1"}),
                    false => serde_json::json!({"Version": "20.10.24"}),
                };
                if let Some((os, architecture)) = scenario.platform.split_once('/') {
                    server["Os"] = os.into();
                    server["Arch"] = architecture.into();
                }
                println!(r#"{{"Client":{{"Version":"28.0"}},"Server":{server}}}"#);
                Ok(0)
            }
        },
        ["image", "inspect", image] => {
            let is_built = *image == BUILT && was_called("build")?;
            if !is_built && !scenario.images.iter().any(|there| there == image) {
                eprintln!("Error: No such image: {image}");
                return Ok(1);
            }
            let architecture = scenario.architectures.get(*image);
            let architecture = architecture.map_or("amd64", String::as_str);
            println!(
                r#"[{{"Id":"sha256:feed","RepoDigests":["img@sha256:beef"],"Os":"linux","Architecture":"{architecture}"}}]"#
            );
            Ok(0)
        }
        ["container", "inspect", ..] => {
            if scenario.no_container {
                eprintln!("Error: No such container");
                return Ok(1);
            }
            println!(
                "{}",
                serde_json::json!([{"State": scenario.state, "Image": "sha256:feed"}])
            );
            Ok(0)
        }
        ["create", ..] if scenario.counts_nothing && args.contains(&"--interactive") => {
            eprintln!("Error: no second container");
            Ok(125)
        }
        ["rm" | "ps" | "create", ..] => Ok(0),
        ["cp", "-", _] => {
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
            Ok(0)
        }
        ["start", ..] => count(&scenario),
        ["volume", "inspect", _] => Ok(u8::from(!scenario.has_every_volume)),
        ["volume", ..] => Ok(0),
        ["pull", image] => {
            if scenario.fetching {
                eprintln!("Pulling");
                std::thread::sleep(std::time::Duration::from_secs(60));
            }
            eprintln!("Error: pull access denied for {image}");
            Ok(1)
        }
        ["build", rest @ ..] => build(&scenario, rest),
        ["save", ..] => {
            print!("an archive");
            Ok(0)
        }
        ["tag", ..] => Ok(0),
        ["image", "ls", ..] => {
            for id in &scenario.nameless {
                if !was_called(id)? {
                    println!("{id}");
                }
            }
            Ok(0)
        }
        ["image", "rm", ..] => Ok(0),
        ["run", "--rm", .., image, "-c", _, "look", _] => match scenario.systems.get(*image) {
            Some(Err(message)) => {
                eprintln!("{message}");
                Ok(127)
            }
            Some(Ok(text)) => {
                println!("{text}");
                Ok(0)
            }
            None => {
                println!("libc glibc 2.36\nbash /bin/bash\npixi pixi 0.77.0\nuser 0");
                Ok(0)
            }
        },
        ["run", "--rm", rest @ ..] if rest.contains(&"question") => check_project(&scenario, rest),
        ["run", rest @ ..] if rest.contains(&BUILT) => {
            println!("verifying");
            print!("{0}", scenario.prints);
            eprint!("{0}", scenario.prints);
            Ok(scenario.verify)
        }
        ["run", rest @ .., "write-into", _, name] => write_into(&scenario, rest, name),
        ["run", rest @ ..] => run(&scenario, rest),
        ["exec", rest @ ..] => exec(rest),
        _ => anyhow::bail!("does not know {args:?}"),
    }
}

/// A container whose pixi is asked about a project.
fn check_project(scenario: &Scenario, args: &[&str]) -> anyhow::Result<u8> {
    let mounts = mounts(args);
    let is_there = mounts.first().is_some_and(|(source, _)| source.is_dir());
    anyhow::ensure!(is_there, "no project is mounted");
    if let Some((message, code)) = &scenario.refuse {
        eprintln!("{message}");
        return Ok(*code);
    }
    println!("a profile\npixi-offline answers:\n{}", scenario.pixi_check);
    Ok(0)
}

/// A container that makes a file in the directory that is mounted.
fn write_into(scenario: &Scenario, args: &[&str], name: &str) -> anyhow::Result<u8> {
    if scenario.cannot_write {
        eprintln!("sh: can't create {name}: Permission denied");
        return Ok(1);
    }
    let mounts = mounts(args);
    let (source, _) = mounts
        .first()
        .ok_or_else(|| anyhow::anyhow!("nothing is mounted"))?;
    std::fs::write(source.join(name), "")?;
    Ok(0)
}

/// Keeps the context beside the calls, as `context.tar`.
fn build(scenario: &Scenario, args: &[&str]) -> anyhow::Result<u8> {
    let calls = PathBuf::from(variable("FAKE_DOCKER_CALLS")?);
    let mut context = std::fs::File::create(calls.with_file_name("context.tar"))?;
    std::io::copy(&mut std::io::stdin(), &mut context)?;
    let (message, code) = &scenario.build;
    eprint!("{message}");
    println!("building");
    print!("{0}", scenario.prints);
    eprint!("{0}", scenario.prints);
    if *code == 0 {
        let id_file = args.iter().position(|arg| *arg == "--iidfile");
        let id_file = id_file.and_then(|place| args.get(place + 1));
        std::fs::write(
            id_file.ok_or_else(|| anyhow::anyhow!("no --iidfile"))?,
            BUILT,
        )?;
    }
    Ok(*code)
}

/// Whether an earlier call had this argument.
fn was_called(arg: &str) -> anyhow::Result<bool> {
    let calls = std::fs::read_to_string(variable("FAKE_DOCKER_CALLS")?)?;
    let arg = serde_json::Value::from(arg).to_string();
    // The last line is this very call.
    let earlier = calls
        .trim_end()
        .rsplit_once('\n')
        .map_or("", |(all, _)| all);
    Ok(earlier.contains(&arg))
}

/// The container is this machine: what is asked for runs here.
fn exec(args: &[&str]) -> anyhow::Result<u8> {
    let mut args = args.iter();
    let mut variables = Vec::new();
    while let Some(arg) = args.next() {
        match *arg {
            "--interactive" => {}
            "--env" => variables.extend(args.next().and_then(|pair| pair.split_once('='))),
            _ => break,
        }
    }
    let program = args
        .next()
        .ok_or_else(|| anyhow::anyhow!("exec of nothing"))?;
    let status = std::process::Command::new(program)
        .args(args)
        .envs(variables)
        .status()?;
    Ok(u8::try_from(status.code().unwrap_or(137))?)
}

/// The second container: tells how often something tried to reach the network, for each
/// line, the phases one after the other.
fn count(scenario: &Scenario) -> anyhow::Result<u8> {
    let of = |phase: &str| scenario.attempts.get(phase).copied().unwrap_or(0);
    let mut count = 7;
    let mut more = [of("bootstrap"), of("verify")].into_iter();
    for line in std::io::stdin().lines() {
        line?;
        writeln!(std::io::stdout(), "{count}")?;
        count += more.next().unwrap_or(0);
        if scenario.counts_once {
            return Ok(1);
        }
    }
    Ok(0)
}

fn run(scenario: &Scenario, args: &[&str]) -> anyhow::Result<u8> {
    if let Some((message, code)) = &scenario.refuse {
        eprintln!("{message}");
        return Ok(*code);
    }
    if let Some(code) = scenario.swallow {
        println!("{}", args.join(" "));
        return Ok(code);
    }
    // IMAGE -c LAUNCH pixi-offline SCRIPT NONCE ARGS…
    let launch = args.iter().position(|arg| *arg == "-c").unwrap_or(0);
    let nonce = args.get(launch + 4).copied().unwrap_or_default();
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    let tokens = Tokens::parse(&line);
    let mut number = 0;
    let mut say = |signal: ScriptEvent| {
        if !matches!(signal, ScriptEvent::Credential(_)) {
            number += 1;
        }
        let token = tokens.get(number, signal.token_kind()).unwrap_or_default();
        // Whoever listens may be gone: that is no panic.
        writeln!(std::io::stdout(), "\u{1e}{token} {signal}\u{1e}")?;
        std::io::stdout().flush()
    };
    for variable in &scenario.credentials {
        say(ScriptEvent::Credential(variable.clone()))?;
    }
    say(ScriptEvent::Started("bash".into()))?;
    if !scenario.signals.is_empty() {
        for words in &scenario.signals {
            say(ScriptEvent::parse(words))?;
        }
        return Ok(0);
    }
    let mounts = mounts(args);
    let nonce_is_there = mounts
        .iter()
        .any(|(source, _)| source.join(format!(".pixi-offline-{nonce}")).is_file());
    if scenario.elsewhere || !nonce_is_there {
        say(ScriptEvent::OutDirIsNotOurs)?;
        say(ScriptEvent::Finished(1))?;
        return Ok(1);
    }
    if let Some(program) = &scenario.missing_program {
        say(ScriptEvent::MissingProgram(program.clone()))?;
        say(ScriptEvent::Finished(127))?;
        return Ok(127);
    }
    say(ScriptEvent::Pixi(scenario.pixi.clone()))?;
    for (file, content) in &scenario.writes {
        let place = mounts.iter().find_map(|(source, target)| {
            Some(source.join(Path::new(file).strip_prefix(target).ok()?))
        });
        let place = place.ok_or_else(|| anyhow::anyhow!("{file} is below no mount"))?;
        std::fs::create_dir_all(place.parent().unwrap_or(&place))?;
        std::fs::write(place, content)?;
    }
    for (file, what) in &scenario.plants {
        let place = mounts.iter().find_map(|(source, target)| {
            Some(source.join(Path::new(file).strip_prefix(target).ok()?))
        });
        plant(
            &place.ok_or_else(|| anyhow::anyhow!("{file} is below no mount"))?,
            what,
        )?;
    }
    let mut code = 0;
    let phases = phases_of(scenario, args);
    let is_offline = args.windows(2).any(|pair| pair == ["--network", "none"]);
    for (phase, output, end) in phases {
        let point = match phase.as_str() {
            "bootstrap" => Some("start"),
            "verify" if is_offline => Some("bootstrap"),
            _ => None,
        };
        if let Some(point) = point {
            say(ScriptEvent::Ready(point.to_owned()))?;
            if input.read_line(&mut line)? == 0 {
                return Ok(143);
            }
        }
        say(ScriptEvent::Begin(phase.clone()))?;
        eprint!("{}", scenario.client_errors);
        write!(std::io::stdout(), "{output}")?;
        if scenario.hang_in.as_ref() == Some(phase) {
            std::io::stdout().flush()?;
            input.read_to_end(&mut Vec::new())?;
            say(ScriptEvent::Interrupted)?;
            say(ScriptEvent::Finished(143))?;
            return Ok(143);
        }
        say(ScriptEvent::End(phase.clone(), *end))?;
        if let Some(count) = scenario.attempts.get(phase) {
            say(ScriptEvent::Attempts(phase.clone(), *count))?;
        }
        code = *end;
        if code != 0 {
            break;
        }
    }
    if let Some(code) = scenario.die {
        return Ok(code);
    }
    if scenario.hang {
        println!("hanging");
        std::io::stdout().flush()?;
        input.read_to_end(&mut Vec::new())?;
        code = 143;
    }
    say(ScriptEvent::Finished(code))?;
    Ok(code)
}

/// The phases of the scenario that the script in these arguments has, in its order.
fn phases_of<'a>(scenario: &'a Scenario, args: &[&str]) -> Vec<&'a (String, String, u8)> {
    let is_offline = args.windows(2).any(|pair| pair == ["--network", "none"]);
    let own = if is_offline {
        &["copy", "bootstrap", "verify"][..]
    } else {
        &["install", "verify"]
    };
    own.iter()
        .flat_map(|own| scenario.phases.iter().filter(move |phase| phase.0 == *own))
        .collect()
}

fn plant(place: &Path, what: &str) -> anyhow::Result<()> {
    if std::fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_dir()) {
        std::fs::remove_dir_all(place)?;
    } else {
        let _ = std::fs::remove_file(place);
    }
    match what {
        "fifo" => {
            let made = std::process::Command::new("mkfifo").arg(place).status()?;
            anyhow::ensure!(made.success(), "no fifo was made");
        }
        "sparse" => std::fs::File::create(place)?.set_len(10 << 30)?,
        target => std::os::unix::fs::symlink(target, place)?,
    }
    Ok(())
}

/// Source and target of each `--mount`, read as the engine reads it.
fn mounts(args: &[&str]) -> Vec<(PathBuf, String)> {
    args.windows(2)
        .filter(|pair| pair[0] == "--mount")
        .map(|pair| {
            let fields = csv_fields(pair[1]);
            let value = |key: &str| {
                fields
                    .iter()
                    .find_map(|field| field.strip_prefix(key).map(str::to_owned))
                    .unwrap_or_default()
            };
            (PathBuf::from(value("source=")), value("target="))
        })
        .collect()
}

/// The fields of one line of CSV (RFC 4180).
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                fields.last_mut().expect("never empty").push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("never empty").push(c),
        }
    }
    fields
}

fn variable(name: &str) -> anyhow::Result<std::ffi::OsString> {
    std::env::var_os(name).ok_or_else(|| anyhow::anyhow!("{name} is not set"))
}
