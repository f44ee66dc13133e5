//! The options for health, control and draining.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use clap::Args;

use super::{duration, entropy::Entropy, problems::Collector, telemetry, telemetry::TelemetryOptions};
use crate::{
    operations::Listen,
    option_names::{CONTROL_ENDPOINT, HEALTH_CHECK_ADDR, Name},
    telemetry::TelemetryConfig,
};

const DRAIN_TIMEOUT: Name = Name::new("--drain-timeout", "DRAIN_TIMEOUT");

/// All interfaces, for orchestrators.
const DEFAULT_HEALTH: &[SocketAddr] = &[
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080),
];

/// Only this machine.
const DEFAULT_CONTROL: &[SocketAddr] = &[SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9999)];

/// Less than systemd's default time until it kills a service, 90 s.
const DEFAULT_DRAIN: Duration = Duration::from_secs(60);

/// How the relay is watched and ended.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OperationsOptions {
    /// Where to answer /healthz, /readyz and /metrics over HTTP: an address, `unix:PATH`, or `off` [default: `0.0.0.0:8080` and `[::]:8080`, if they are free]
    #[arg(long, env = "HEALTH_CHECK_ADDR", value_name = "ADDRESS:PORT|unix:PATH", help_heading = "Operations")]
    pub(crate) health_check_addr: Option<String>,

    /// Where to take `POST /log_filter?directives=...` over HTTP, which changes what is logged, and `POST /record/start?file=...`
    /// and `POST /record/stop`; `GET /users?top=10` tells which users relay most; or `off`. Every user of the machine can connect to an
    /// address. `unix:PATH` is a Unix socket for the relay's own user and root [default: 127.0.0.1:9999, if it is free]
    #[arg(long, env = "CONTROL_ENDPOINT", value_name = "ADDRESS:PORT|unix:PATH", help_heading = "Operations")]
    pub(crate) control_endpoint: Option<String>,

    /// How long to relay on after SIGTERM for the allocations that there are, such as 0s, 90s, 15m or 1h. It ends sooner when
    /// the last of them does, at once on a second signal or Ctrl-C [default: 60s]
    #[arg(long, env = "DRAIN_TIMEOUT", value_name = "TIME", help_heading = "Operations")]
    pub(crate) drain_timeout: Option<String>,

    #[command(flatten)]
    pub(crate) telemetry: TelemetryOptions,
}

/// The checked configuration of health, control and draining.
#[derive(Clone, Debug)]
pub(crate) struct OperationsConfig {
    pub(crate) health: Listen,
    pub(crate) control: Listen,
    /// Zero means no draining.
    pub(crate) drain_timeout: Duration,
    pub(crate) telemetry: Option<TelemetryConfig>,
}

impl OperationsConfig {
    /// Reads `options`. Errors go to `problems`.
    pub(crate) fn read(options: &OperationsOptions, entropy: &impl Entropy, problems: &mut Collector) -> Self {
        let mut listen = |name, value: &Option<String>, default: &'static [SocketAddr]| {
            let example = default.iter().map(ToString::to_string).next().unwrap_or_default();
            let wanted = format!("an address with a port, such as {example}, unix: and a path, or off");
            let parse = |text: &str| match (text, text.strip_prefix("unix:")) {
                ("off", _) => Some(Listen::Off),
                (_, Some(path)) => Path::new(path).is_absolute().then(|| Listen::Unix(path.into())),
                (text, None) => text.parse().ok().map(Listen::At),
            };
            let given = problems.read(name, value.as_deref(), &wanted, parse);
            given.unwrap_or(Listen::Default(default))
        };
        let health = listen(HEALTH_CHECK_ADDR, &options.health_check_addr, DEFAULT_HEALTH);
        let control = listen(CONTROL_ENDPOINT, &options.control_endpoint, DEFAULT_CONTROL);
        let wanted = "a time such as 0s, 90s, 15m or 1h";
        let drain_timeout = problems.read(DRAIN_TIMEOUT, options.drain_timeout.as_deref(), wanted, duration::parse);
        Self {
            health,
            control,
            drain_timeout: drain_timeout.unwrap_or(DEFAULT_DRAIN),
            telemetry: telemetry::read(&options.telemetry, entropy, problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::OsEntropy;

    fn read(options: &OperationsOptions) -> (OperationsConfig, Vec<String>) {
        let mut problems = Collector::default();
        let config = OperationsConfig::read(options, &OsEntropy, &mut problems);
        let problems = problems.finish(Some(())).err();
        (config, problems.iter().flat_map(|problems| problems.iter()).map(str::to_owned).collect())
    }

    #[test]
    fn defaults_are_those_of_the_deployed_system() {
        let (config, problems) = read(&OperationsOptions::default());
        assert!(problems.is_empty(), "{problems:?}");
        let by_default = |listen: &Listen| match listen {
            Listen::Default(addresses) => addresses.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        assert_eq!(by_default(&config.health), ["0.0.0.0:8080", "[::]:8080"]);
        assert_eq!(by_default(&config.control), ["127.0.0.1:9999"]);
        assert_eq!(config.drain_timeout, Duration::from_secs(60));
        assert!(config.telemetry.is_none());
    }

    #[test]
    fn listeners_can_be_moved_and_turned_off() {
        let (config, problems) = read(&OperationsOptions {
            health_check_addr: Some("[::1]:81".to_owned()),
            control_endpoint: Some(" off ".to_owned()),
            drain_timeout: Some("0s".to_owned()),
            ..OperationsOptions::default()
        });
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(config.health, Listen::At("[::1]:81".parse().unwrap()));
        assert_eq!(config.control, Listen::Off);
        assert_eq!(config.drain_timeout, Duration::ZERO);
    }

    #[test]
    fn every_problem_is_told_and_names_its_option() {
        let wrong = || Some("wrong".to_owned());
        let (_, problems) = read(&OperationsOptions {
            health_check_addr: wrong(),
            control_endpoint: wrong(),
            drain_timeout: wrong(),
            telemetry: TelemetryOptions {
                otlp_grpc_endpoint: wrong(),
                otel_service_name: None,
                otel_resource_attributes: wrong(),
                otel_metric_export_interval: wrong(),
            },
        });
        for variable in [
            "HEALTH_CHECK_ADDR",
            "CONTROL_ENDPOINT",
            "DRAIN_TIMEOUT",
            "OTLP_GRPC_ENDPOINT",
            "OTEL_RESOURCE_ATTRIBUTES",
            "OTEL_METRIC_EXPORT_INTERVAL",
        ] {
            let count = problems.iter().filter(|problem| problem.contains(&format!("({variable})"))).count();
            assert_eq!(count, 1, "{variable}: {problems:#?}");
        }
        assert_eq!(problems.len(), 6, "{problems:#?}");
    }
}
