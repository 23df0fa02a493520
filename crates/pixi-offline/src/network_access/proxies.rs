//! The proxies of the caller's environment.

use std::ffi::OsString;
use std::net::IpAddr;

use itertools::Itertools as _;

use crate::container::Masking;
use crate::context::Context;
use crate::host_env::ProxyVariables;
use crate::request::ContainerVariable;

/// Proxies that a container gets, and those that it cannot reach.
#[derive(Clone, Default)]
pub(super) struct Proxies {
    passed: Vec<(&'static str, String)>,
    unreachable: Vec<(&'static str, String)>,
}

impl Proxies {
    /// Takes those of the environment that the caller's own variables, in any case of letters,
    /// do not stand for. A proxy on this machine's loopback address is out of reach, but
    /// where the container has the network of this machine.
    pub(super) fn for_container(
        proxies: &ProxyVariables,
        variables: &[ContainerVariable],
        engine_arguments: &[OsString],
    ) -> Proxies {
        let is_free = |name: &str| {
            !variables
                .iter()
                .any(|variable| variable.key().eq_ignore_ascii_case(name))
        };
        let found = proxies.iter().filter(|(name, _)| is_free(name));
        let found = found.map(|(name, value)| (name, value.to_string_lossy().into_owned()));
        let has_host_network = shares_network(engine_arguments);
        let (unreachable, passed): (Vec<_>, Vec<_>) = found
            .partition(|(name, value)| !has_host_network && !is_list(name) && is_loopback(value));
        // Hosts that no proxy is used for mean something beside a proxy only.
        let has_proxy = passed.iter().any(|(name, _)| !is_list(name));
        Proxies {
            passed: if has_proxy { passed } else { Vec::new() },
            unreachable,
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.passed.iter().map(|(name, _)| *name)
    }

    /// Keeps their logins out of an output.
    pub(super) fn mask(&self, masking: &mut Masking) {
        for (name, value) in &self.passed {
            if !is_list(name)
                && let Some((login, _)) = without_scheme(value).1.rsplit_once('@')
            {
                masking.learn_login(login);
            }
        }
    }

    /// Says which are passed on, without logins, and which are not.
    pub(super) fn say(&self, context: &Context) {
        let shown = |proxies: &[(&'static str, String)]| {
            let mut each = proxies.iter().map(|(name, value)| match is_list(name) {
                true => format!("{name}={value}"),
                false => format!("{name}={}", without_login(value)),
            });
            each.join(", ")
        };
        if !self.passed.is_empty() {
            context.report.note(format_args!(
                "the build gets the proxies of this environment: {}; --no-proxies leaves them out",
                shown(&self.passed)
            ));
        }
        if !self.unreachable.is_empty() {
            context.report.warning(format_args!(
                "{} is on this machine's loopback address, which a container does not reach, and is left out: give --engine-arg --network=host, or set it to an address of this machine",
                shown(&self.unreachable)
            ));
        }
    }
}

/// Whether a variable is a list of hosts, and no proxy.
fn is_list(name: &str) -> bool {
    name.eq_ignore_ascii_case("NO_PROXY")
}

/// The scheme of a URL with what follows it, and the rest.
fn without_scheme(url: &str) -> (&str, &str) {
    match url.find("://") {
        Some(place) => url.split_at(place + 3),
        None => ("", url),
    }
}

/// A proxy's URL with what stands for user and password.
fn without_login(url: &str) -> String {
    let (scheme, rest) = without_scheme(url);
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => url.to_owned(),
    }
}

/// Whether a proxy's URL names this machine by its loopback address.
fn is_loopback(url: &str) -> bool {
    let (_, rest) = without_scheme(url);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = match rest.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => rest.split(':').next().unwrap_or(rest),
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| match address {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => {
                let mapped = address.to_ipv4_mapped();
                address.is_loopback() || mapped.is_some_and(|address| address.is_loopback())
            }
        })
}

/// Whether the arguments of the engine's `run` give the container the network of its machine.
fn shares_network(arguments: &[OsString]) -> bool {
    let args: Vec<_> = arguments.iter().map(|arg| arg.to_string_lossy()).collect();
    let is_host = |value: &str| value == "host";
    args.iter().enumerate().any(|(number, arg)| {
        let next = || args.get(number + 1).is_some_and(|value| is_host(value));
        match arg.split_once('=') {
            Some(("--network" | "--net", value)) => is_host(value),
            None if *arg == "--network" || *arg == "--net" => next(),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(found: &[(&'static str, &str)], own: &[&str], arguments: &[&str]) -> Proxies {
        let found = ProxyVariables::new(found.iter().map(|(name, value)| (*name, value.into())));
        let own: Vec<ContainerVariable> = own
            .iter()
            .map(|text| ContainerVariable::new(text.as_ref()).unwrap())
            .collect();
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        Proxies::for_container(&found, &own, &arguments)
    }

    #[test]
    fn the_callers_own_variables_win_in_any_case_of_letters() {
        let found = [
            ("HTTPS_PROXY", "http://p:1"),
            ("http_proxy", "http://p:2"),
            ("NO_PROXY", "a"),
        ];
        let names = |own: &[&str]| proxies(&found, own, &[]).names().collect::<Vec<_>>();
        assert_eq!(names(&[]), ["HTTPS_PROXY", "http_proxy", "NO_PROXY"]);
        assert_eq!(names(&["https_proxy=http://q"]), ["http_proxy", "NO_PROXY"]);
        assert_eq!(names(&["HTTPS_PROXY=", "HTTP_PROXY=x"]), [""; 0]);
        assert_eq!(names(&["NO_PROXY=b"]), ["HTTPS_PROXY", "http_proxy"]);
    }

    #[test]
    fn a_proxy_on_loopback_is_left_out_unless_the_network_is_shared() {
        for url in [
            "http://127.0.0.1:3128",
            "localhost:3128",
            "http://LOCALHOST.:1/",
            "http://me:p@127.9.9.9",
            "socks5://[::1]:1080",
            "http://[::ffff:127.0.0.1]:1",
            "https://x.localhost",
        ] {
            let found = [("ALL_PROXY", url), ("no_proxy", "b")];
            let alone = proxies(&found, &[], &["--cpus", "1"]);
            assert_eq!(alone.names().count(), 0, "{url}");
            assert_eq!(alone.unreachable.len(), 1, "{url}");
            for shared in [&["--network=host"][..], &["--net", "host"]] {
                let with = proxies(&found, &[], shared);
                assert_eq!(with.names().count(), 2, "{url}");
                assert!(with.unreachable.is_empty());
            }
        }
        for url in [
            "http://proxy:3128",
            "http://10.0.0.1",
            "http://localhost.corp.net",
            "http://[fe80::1]",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
        assert!(!shares_network(&["--network".into(), "hosts".into()]));
    }

    #[test]
    fn logins_are_neither_shown_nor_let_through() {
        for (url, shown) in [
            ("http://joe:p@ss/word@proxy:3128", "http://***@proxy:3128"),
            ("joe:secret99@proxy", "***@proxy"),
            ("http://proxy:3128/", "http://proxy:3128/"),
        ] {
            assert_eq!(without_login(url), shown);
        }
        let mut masking = Masking::default();
        proxies(&[("HTTPS_PROXY", "joe:secret99@proxy")], &[], &[]).mask(&mut masking);
        let mut shown = masking.feed(b"joe:secret99@proxy secret99".to_vec());
        shown.extend(masking.finish());
        assert_eq!(shown, b"***@proxy ***");
    }
}
