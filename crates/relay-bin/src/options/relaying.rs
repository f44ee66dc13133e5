//! The options for indications and the default address family.

use clap::Args;
use relay_server::DefaultFamily;

use super::problems::Collector;
use crate::option_names::{INDICATIONS, Name};

const DEFAULT_ADDRESS_FAMILY: Name = Name::new("--default-address-family", "DEFAULT_ADDRESS_FAMILY");

/// How the relay serves its clients.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RelayingOptions {
    /// Whether to relay Send and Data indications, which browsers, libnice and libjuice need, and not channels only: on, off
    /// or auto. auto is on without a portal, and off with one, whose clients use channels only [default: auto]
    #[arg(long, env = "INDICATIONS", value_name = "on|off|auto", help_heading = "Relaying")]
    pub(crate) indications: Option<String>,

    /// Which address family a client is allocated that asks for none, as browsers do: ipv4, as RFC 8656 has it, or client:
    /// that of the address it sends from. A client that asks gets what it asks for
    /// [default: ipv4, or client if the relay has no IPv4 address]
    #[arg(long, env = "DEFAULT_ADDRESS_FAMILY", value_name = "ipv4|client", help_heading = "Relaying")]
    pub(crate) default_address_family: Option<String>,
}

/// The checked configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelayingConfig {
    pub(crate) indications: bool,
    pub(crate) default_family: DefaultFamily,
}

impl RelayingConfig {
    /// Reads `options`. The defaults depend on whether the relay has a portal and an IPv4 address.
    pub(crate) fn read(options: &RelayingOptions, has_portal: bool, has_v4: bool, problems: &mut Collector) -> Self {
        let wanted = "on, off or auto (which is on without a portal and off with one)";
        let indications = problems.read(INDICATIONS, options.indications.as_deref(), wanted, |text| match text {
            "on" => Some(true),
            "off" => Some(false),
            "auto" => Some(!has_portal),
            _ => None,
        });
        let wanted = "ipv4 or client (the family of the address that the client sends from)";
        let given = options.default_address_family.as_deref();
        let default_family = problems.read(DEFAULT_ADDRESS_FAMILY, given, wanted, |text| match text {
            "ipv4" => Some(DefaultFamily::V4),
            "client" => Some(DefaultFamily::Client),
            _ => None,
        });
        Self {
            indications: indications.unwrap_or(!has_portal),
            default_family: default_family.unwrap_or(if has_v4 { DefaultFamily::V4 } else { DefaultFamily::Client }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        indications: Option<&str>,
        family: Option<&str>,
        has_portal: bool,
        has_v4: bool,
    ) -> Result<RelayingConfig, String> {
        let options = RelayingOptions {
            indications: indications.map(str::to_owned),
            default_address_family: family.map(str::to_owned),
        };
        let mut problems = Collector::default();
        let config = RelayingConfig::read(&options, has_portal, has_v4, &mut problems);
        problems.finish(Some(config)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn indications_are_on_unless_there_is_a_portal_or_somebody_says_so() {
        for (given, has_portal, expected) in [
            (None, false, true),
            (None, true, false),
            (Some("auto"), false, true),
            (Some("auto"), true, false),
            (Some("on"), true, true),
            (Some("off"), false, false),
        ] {
            let config = read(given, None, has_portal, true).unwrap();
            assert_eq!(config.indications, expected, "{given:?}, portal {has_portal}");
        }
    }

    #[test]
    fn the_default_family_is_ipv4_where_there_is_one() {
        for (given, has_v4, expected) in [
            (None, true, DefaultFamily::V4),
            (None, false, DefaultFamily::Client),
            (Some("client"), true, DefaultFamily::Client),
            (Some("ipv4"), false, DefaultFamily::V4),
        ] {
            assert_eq!(read(None, given, false, has_v4).unwrap().default_family, expected);
        }
    }

    #[test]
    fn anything_else_is_a_problem_that_says_what_would_be_right() {
        let problems = read(Some("yes"), Some("ipv6"), false, true).unwrap_err();
        for expected in ["--indications (INDICATIONS)", "on, off or auto", "--default-address-family", "ipv4 or client"]
        {
            assert!(problems.contains(expected), "{problems}");
        }
    }
}
