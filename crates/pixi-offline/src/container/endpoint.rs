//! Where docker's client reaches its engine, as far as another user could listen or come in there.

use std::net::IpAddr;

use serde::Deserialize;

use crate::context::Context;
use crate::host_env::DockerSettings;
use crate::tools::Program;

/// An address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    host: String,
    /// Whether both sides show a certificate.
    tls: bool,
}

/// Warns of an engine that is reached over plain TCP on another machine: whoever reaches
/// that port commands the machine (docs.docker.com/engine/security/protect-access).
pub(super) fn warn(client: &Program, context: &Context) {
    let Some(endpoint) = endpoint(client, &context.host.docker) else {
        return;
    };
    if !endpoint.tls && !is_near(&endpoint.host) {
        context.report.warning(format_args!(
            "the engine is reached at {} without TLS: whoever reaches that port commands its machine, and whoever is between can read and change what is sent; use ssh://, or TLS (DOCKER_TLS_VERIFY=1)",
            endpoint.host
        ));
    }
}

/// What the environment or docker's current context names; `None` for the usual place, and
/// when the client knows none: it says so itself when it is asked for something.
fn endpoint(client: &Program, settings: &DockerSettings) -> Option<Endpoint> {
    if let Some(host) = &settings.host {
        return Some(Endpoint {
            host: host.to_string_lossy().into_owned(),
            tls: settings.tls,
        });
    }
    if !settings.has_context {
        return None;
    }
    let answer = client.capture(&["context", "inspect"]).ok()?;
    of_context(&answer.stdout)
}

/// The answer of `docker context inspect`.
fn of_context(answer: &[u8]) -> Option<Endpoint> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ContextAnswer {
        endpoints: Endpoints,
        #[serde(default, rename = "TLSMaterial")]
        certificates: serde_json::Map<String, serde_json::Value>,
    }
    #[derive(Deserialize)]
    struct Endpoints {
        docker: Docker,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Docker {
        host: String,
    }
    let contexts: Vec<ContextAnswer> = serde_json::from_slice(answer).ok()?;
    let context = contexts.into_iter().next()?;
    Some(Endpoint {
        host: context.endpoints.docker.host,
        tls: context.certificates.contains_key("docker"),
    })
}

/// Whether an address is no plain TCP, or on this machine.
fn is_near(host: &str) -> bool {
    let Some(rest) = ["tcp://", "http://"]
        .iter()
        .find_map(|scheme| host.strip_prefix(scheme))
    else {
        return true;
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let name = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(bracketed),
        None => authority.split(':').next().unwrap_or(authority),
    };
    // docker takes an empty name for the one of this machine.
    name.is_empty()
        || name == "localhost"
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_tcp_is_near_on_loopback_only() {
        let hosts = "unix:///var/run/docker.sock ssh://ada@big tcp://127.0.0.1:2375 \
            tcp://127.1.2.3:2375/path tcp://localhost:2375 tcp://[::1]:2375 tcp://:2375 \
            npipe:////./pipe/docker_engine";
        for host in hosts.split(' ') {
            assert!(is_near(host), "{host}");
        }
        let hosts = "tcp://10.0.0.5:2375 tcp://localhost.example:2375 tcp://[2001:db8::1]:2375 \
            http://big tcp://127.0.0.1.example:2375";
        for host in hosts.split(' ') {
            assert!(!is_near(host), "{host}");
        }
    }

    #[test]
    fn a_context_tells_its_endpoint_and_whether_it_has_certificates() {
        let answer = |certificates: &str| {
            format!(
                r#"[{{"Name":"far","Endpoints":{{"docker":{{"Host":"tcp://big:2376","SkipTLSVerify":false}}}},"TLSMaterial":{certificates}}}]"#
            )
        };
        for (certificates, tls) in [("{}", false), (r#"{"docker":["ca.pem"]}"#, true)] {
            let host = "tcp://big:2376".to_owned();
            let endpoint = of_context(answer(certificates).as_bytes());
            assert_eq!(endpoint, Some(Endpoint { host, tls }));
        }
        for answer in ["", "[]", "{}"] {
            assert_eq!(of_context(answer.as_bytes()), None);
        }
    }
}
