//! The options of the portal.

use clap::Args;
use portal_client::{ApiUrlError, Endpoint, EndpointError, Limits, TlsError, Token, TrustedRoots};

use super::{duration, problems::Collector};
use crate::{option_names::Name, portal::PortalConfig};

const TOKEN: Name = Name::new("--firezone-token", "FIREZONE_TOKEN");
const API_URL: Name = Name::new("--firezone-api-url", "FIREZONE_API_URL");
const NAME: Name = Name::new("--firezone-name", "FIREZONE_NAME");
const CA_FILE: Name = Name::new("--firezone-ca-file", "FIREZONE_CA_FILE");
const MAX_PARTITION_TIME: Name = Name::new("--firezone-max-partition-time", "FIREZONE_MAX_PARTITION_TIME");
const STARTUP_TIMEOUT: Name = Name::new("--firezone-startup-timeout", "FIREZONE_STARTUP_TIMEOUT");

const DEFAULT_API_URL: &str = "wss://api.firezone.dev";

/// The longest name in bytes. It is sent in a URL.
const MAX_NAME: usize = 255;

/// How to reach the portal.
#[derive(Args, Clone, Default)]
pub(crate) struct PortalOptions {
    /// The relay token of a portal. With one, the relay registers there, tells the portal its secret, and serves once the
    /// portal says so; without one it stands alone. Give it in the environment: other users can see the command line
    #[arg(long, env = "FIREZONE_TOKEN", value_name = "TOKEN", hide_env_values = true, help_heading = "Portal")]
    pub(crate) firezone_token: Option<String>,

    /// Where the portal is [default: wss://api.firezone.dev]
    #[arg(long, env = "FIREZONE_API_URL", value_name = "URL", help_heading = "Portal")]
    pub(crate) firezone_api_url: Option<String>,

    /// What the portal shows people as this relay's name [default: none]
    #[arg(long, env = "FIREZONE_NAME", value_name = "NAME", help_heading = "Portal")]
    pub(crate) firezone_name: Option<String>,

    /// A PEM file of certificate authorities that may vouch for the portal, beside those that this system trusts
    /// [default: none]
    #[arg(long, env = "FIREZONE_CA_FILE", value_name = "FILE", help_heading = "Portal")]
    pub(crate) firezone_ca_file: Option<String>,

    /// How long the portal may be out of reach before the relay, which relays on meanwhile, ends with an error
    /// [default: 24h]
    #[arg(long, env = "FIREZONE_MAX_PARTITION_TIME", value_name = "TIME", help_heading = "Portal")]
    pub(crate) firezone_max_partition_time: Option<String>,

    /// How long the first registration may take before the relay ends with an error [default: 15s]
    #[arg(long, env = "FIREZONE_STARTUP_TIMEOUT", value_name = "TIME", help_heading = "Portal")]
    pub(crate) firezone_startup_timeout: Option<String>,
}

impl std::fmt::Debug for PortalOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Leaves out the token.
        f.debug_struct("PortalOptions").field("firezone_api_url", &self.firezone_api_url).finish_non_exhaustive()
    }
}

/// Reads `options`. `None` if there is no token or an error was reported.
pub(crate) fn read(options: &PortalOptions, problems: &mut Collector) -> Option<PortalConfig> {
    let token = given(options.firezone_token.as_ref())?;
    let token = Token::new(token)
        .map_err(|error| problems.add(format!("{TOKEN}: {error}: give the relay token as the portal shows it")));
    let endpoint = read_endpoint(options, problems);
    let name = given(options.firezone_name.as_ref()).map(str::to_owned);
    if let Some(name) = name.as_ref().filter(|name| name.len() > MAX_NAME) {
        problems.add(format!("{NAME} has {} bytes: give a name of at most {MAX_NAME}", name.len()));
    }
    let defaults = Limits::default();
    let mut time = |name, value: &Option<String>, wanted| {
        let positive = |text: &str| duration::parse(text).filter(|time| !time.is_zero());
        problems.read(name, value.as_deref(), wanted, positive)
    };
    let partition = time(MAX_PARTITION_TIME, &options.firezone_max_partition_time, "a time such as 30m, 24h or 7d");
    let startup = time(STARTUP_TIMEOUT, &options.firezone_startup_timeout, "a time such as 15s or 5m");
    let limits = Limits {
        partition: partition.unwrap_or(defaults.partition),
        startup: startup.unwrap_or(defaults.startup),
        ..defaults
    };
    Some(PortalConfig { endpoint: endpoint?, token: token.ok()?, name, limits })
}

fn given(value: Option<&String>) -> Option<&str> {
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn read_endpoint(options: &PortalOptions, problems: &mut Collector) -> Option<Endpoint> {
    let url = given(options.firezone_api_url.as_ref()).unwrap_or(DEFAULT_API_URL);
    let extra_file = given(options.firezone_ca_file.as_ref()).map(Into::into);
    match Endpoint::new(url, &TrustedRoots { extra_file }) {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            problems.add(match error {
                // The URL may contain a password, so it is not repeated.
                EndpointError::Url(ApiUrlError::UserInfo) => format!("{API_URL}: {error}"),
                EndpointError::Url(_) => format!("{API_URL} is {url:?}: {error}, such as {DEFAULT_API_URL}"),
                EndpointError::Tls(TlsError::ExtraFile { .. }) => {
                    format!("{CA_FILE}: {error}: give a file of PEM certificates, such as /etc/ssl/certs/ca.pem")
                }
                error => format!("{CA_FILE}: {error}"),
            });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PortalConfig, PortalOptions};
    use crate::options::problems::{Collector, Problems};

    fn read(options: &PortalOptions) -> Result<Option<PortalConfig>, Problems> {
        let mut problems = Collector::default();
        let config = super::read(options, &mut problems);
        problems.finish(Some(())).map(|()| config)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// Options without TLS, so that the test does not depend on the machine's certificates.
    fn good() -> PortalOptions {
        PortalOptions {
            firezone_token: some(" token\n"),
            firezone_api_url: some("ws://portal.example:8081"),
            ..PortalOptions::default()
        }
    }

    #[test]
    fn without_a_token_there_is_no_portal() {
        let options =
            PortalOptions { firezone_token: some(" \n"), firezone_name: some("a"), ..PortalOptions::default() };
        assert!(read(&options).unwrap().is_none());
        assert!(read(&PortalOptions::default()).unwrap().is_none());
    }

    #[test]
    fn defaults_are_those_of_the_deployed_system() {
        let config = read(&good()).unwrap().unwrap();
        assert_eq!((config.endpoint.host(), config.endpoint.port()), ("portal.example", 8081));
        assert_eq!(config.limits.partition, Duration::from_secs(24 * 60 * 60));
        assert_eq!(config.limits.startup, Duration::from_secs(15));
        assert_eq!(config.name, None);
    }

    #[test]
    fn limits_and_name_can_be_given() {
        let config = read(&PortalOptions {
            firezone_name: some("west 1"),
            firezone_max_partition_time: some("30m"),
            firezone_startup_timeout: some("5m"),
            ..good()
        });
        let config = config.unwrap().unwrap();
        assert_eq!(config.name.as_deref(), Some("west 1"));
        assert_eq!(config.limits.partition, Duration::from_secs(30 * 60));
        assert_eq!(config.limits.startup, Duration::from_secs(5 * 60));
    }

    #[test]
    fn every_problem_is_told_and_names_its_option_but_no_secret() {
        let problems = read(&PortalOptions {
            firezone_token: some("hunter\u{7f}2"),
            firezone_api_url: some("ftp://portal.example"),
            firezone_name: some(&"x".repeat(300)),
            firezone_ca_file: None,
            firezone_max_partition_time: some("forever"),
            firezone_startup_timeout: some("0s"),
        })
        .unwrap_err();
        let lines: Vec<&str> = problems.iter().collect();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        for variable in [
            "FIREZONE_TOKEN",
            "FIREZONE_API_URL",
            "FIREZONE_NAME",
            "FIREZONE_MAX_PARTITION_TIME",
            "FIREZONE_STARTUP_TIMEOUT",
        ] {
            assert_eq!(lines.iter().filter(|line| line.contains(&format!("({variable})"))).count(), 1, "{lines:#?}");
        }
        assert!(!problems.to_string().contains("hunter"));
    }

    #[test]
    fn a_password_in_the_url_is_not_repeated() {
        let problems = read(&PortalOptions { firezone_api_url: some("wss://u:hunter2@portal.example"), ..good() });
        let problem = problems.unwrap_err().to_string();
        assert!(problem.contains("FIREZONE_API_URL") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn a_missing_file_of_authorities_is_named() {
        let problems = read(&PortalOptions {
            firezone_api_url: some("wss://portal.example"),
            firezone_ca_file: some("/nonexistent/ca.pem"),
            ..good()
        });
        let problem = problems.unwrap_err().to_string();
        assert!(problem.contains("FIREZONE_CA_FILE") && problem.contains("/nonexistent/ca.pem"), "{problem}");
    }

    #[test]
    fn options_are_printed_without_the_token() {
        assert!(!format!("{:?}", good()).contains("token\n"));
    }
}
