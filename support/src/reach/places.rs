//! Where the names of servers lead.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::{Done, Trouble};

/// Where the names of servers lead. By default to where they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    stand_ins: BTreeMap<String, String>,
    loopback_only: bool,
}

/// A server's name in its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Places {
    /// Names lead to where they say, as in a live run.
    #[must_use]
    pub fn as_named() -> Self {
        Self::default()
    }

    /// Each of these names, `host:port`, leads to another `host:port`: what stands in for it in a rehearsal.
    #[must_use]
    pub fn with(stand_ins: BTreeMap<String, String>) -> Self {
        Self { stand_ins, loopback_only: false }
    }

    /// The same, and nothing is asked that is not on this machine.
    #[must_use]
    pub fn loopback_only(self) -> Self {
        Self { loopback_only: true, ..self }
    }

    /// The addresses of the server `name`; with `here`, it must be on this machine, for the reason that `here` gives.
    pub(super) async fn addresses(&self, name: &str, here: Option<&str>) -> Done<Vec<SocketAddr>> {
        let why = if self.loopback_only { Some("a rehearsal does not leave the machine") } else { here };
        let lead = self.stand_ins.get(name).map_or(name, String::as_str);
        let place = HostPort::parse(lead).ok_or_else(|| Trouble::refused("this is no host:port"))?;
        let elsewhere = |why| Trouble::refused(format!("`{lead}` is not on this machine, and {why}"));
        // Before the name is looked up: a look-up leaves the machine, too.
        if let Some(why) = why.filter(|_| !place.is_loopback()) {
            return Err(elsewhere(why));
        }
        let found: Vec<SocketAddr> = tokio::net::lookup_host((place.host.as_str(), place.port))
            .await
            .map_err(|error| Trouble::unreachable(format!("`{}` could not be looked up: {error}", place.host)))?
            .collect();
        match why.filter(|_| !found.iter().all(|address| address.ip().is_loopback())) {
            Some(why) => Err(elsewhere(why)),
            None if found.is_empty() => Err(Trouble::unreachable(format!("`{}` has no address", place.host))),
            None => Ok(found),
        }
    }
}

impl HostPort {
    /// Reads `host:port`, `127.0.0.1:port`, `[::1]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => Some(host).filter(|host| is_name(host))?,
        };
        Some(Self { host: host.to_owned(), port })
    }

    /// As it is written.
    pub(super) fn written(host: &str, port: u16) -> String {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::HostPort;

    #[rstest]
    #[case("127.0.0.1:9092", Some(("127.0.0.1", 9092)))]
    #[case("[::1]:9092", Some(("::1", 9092)))]
    #[case("b-1.cluster.example:9096", Some(("b-1.cluster.example", 9096)))]
    #[case("SASL_SSL://broker.example:9092", None)]
    #[case("me:word@broker.example:9092", None)]
    #[case("broker.example", None)]
    #[case("broker.example:0", None)]
    #[case("broker.example:65536", None)]
    #[case("::1:9092", None)]
    #[case(":9092", None)]
    fn a_name_is_read_in_two_parts(#[case] text: &str, #[case] parts: Option<(&str, u16)>) {
        let read = HostPort::parse(text);
        assert_eq!(read.as_ref().map(|read| (read.host.as_str(), read.port)), parts);
        if let Some(read) = read {
            assert_eq!(HostPort::written(&read.host, read.port), text);
        }
    }

    #[rstest]
    #[case("127.0.0.1:1", true)]
    #[case("127.9.0.1:1", true)]
    #[case("localhost:1", true)]
    #[case("[::1]:1", true)]
    #[case("127.0.0.1.example:1", false)]
    #[case("0.0.0.0:1", false)]
    #[case("10.0.0.1:1", false)]
    fn loopback_is_known(#[case] text: &str, #[case] loopback: bool) {
        assert_eq!(HostPort::parse(text).unwrap().is_loopback(), loopback);
    }
}
