//! The command line.
//!
//! Values are taken as text here, and parsed in the other files of this directory. So all errors are reported together.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    credentials::CredentialOptions, limits::LimitOptions, logging::LoggingOptions, mint::MintOptions,
    offload::OffloadOptions, operations::OperationsOptions, peers::PeerOptions, portal::PortalOptions,
    record::RecordOptions, relaying::RelayingOptions,
};
use crate::version;

const ABOUT: &str = "A STUN/TURN relay (RFC 8489, RFC 8656) over UDP, IPv4 and IPv6.";

const LONG_ABOUT: &str = "\
A STUN/TURN relay (RFC 8489, RFC 8656) over UDP, IPv4 and IPv6.

Clients behind NATs send to its listening port, allocate a port of their own here, and reach peers through it. \
Without any option it serves at this machine's own addresses, with a secret drawn at start, and prints an ICE server entry \
that is ready to paste.

Every option can be given as an environment variable instead; the option wins. An empty value counts as none.";

const EXAMPLES: &str = "\
Examples:
  Try it on this machine:
    firezone-relay --public-ip4-addr 127.0.0.1
  On a server with public addresses of its own:
    firezone-relay --public-ip4-addr 203.0.113.7 --public-ip6-addr 2001:db8::7 --auth-secret \"$SECRET\"
  Behind a one-to-one NAT, as in most clouds (the public address is not on any interface):
    firezone-relay --public-ip4-addr 203.0.113.7 --bind-ip4-addr 10.0.0.7
  Registered with a portal, which tells clients of it (FIREZONE_TOKEN holds the token):
    firezone-relay --public-ip4-addr 203.0.113.7 --firezone-api-url wss://api.firezone.dev
  Mint credentials for a relay with that secret:
    firezone-relay credentials --secret \"$SECRET\" --ttl 24h --url turn:203.0.113.7:3478
  See what to change on this machine before a relay runs here:
    firezone-relay doctor
  See in a packet capture why a client does not connect:
    firezone-relay explain call.pcapng
  In place of coturn, for a back end that mints with its static-auth-secret:
    firezone-relay --public-ip4-addr 203.0.113.7 --auth-secret-file /etc/relay/secrets --realm example.org

Open in the firewall: UDP to the listening port (3478) and to the allocation ports (49152-65535).

SIGTERM stops new allocations and ends the relay when those that there are have ended, at the latest after DRAIN_TIMEOUT; \
Ctrl-C (SIGINT) or a second signal ends it at once. SIGHUP starts the program anew, which takes over all allocations without losing a packet, and reads options and files again; SIGUSR1 and SIGUSR2 are ignored.

Exit status: 0 after SIGTERM or Ctrl-C, 1 when the relay failed or the portal refused it, 2 when an option is wrong.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  Capture a server's traffic, then look at it:
    tcpdump -i any -s 0 -w call.pcapng udp
    firezone-relay explain call.pcapng
  Without a file in between, and which clients failed, for programs:
    gzip -dc call.pcapng.gz | firezone-relay explain --json - | jq '.clients[] | select(.status == \"failed\")'

Recordings of this relay are replayed as far as they allow it: then the reasons are the relay's own.";

/// `firezone-relay`.
#[derive(Debug, Parser)]
#[command(
    name = "firezone-relay",
    version = version::text(),
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to do instead of relaying.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a username and credential for a relay, as JSON.
    Credentials(MintOptions),
    /// Say whether a relay with these options would relay to a peer, and why. Exits with 1 if not.
    CheckPeer(Box<CheckPeerOptions>),
    /// Say what this machine can do for a relay with these options, and what to change. Needs no privilege, and changes nothing. Exits with 0
    /// if there is nothing to change, 1 if the relay would work better, 3 if it would not work.
    Doctor(Box<DoctorOptions>),
    /// Say which clients of a packet capture failed, and why.
    ///
    /// The capture is a pcapng or pcap file of any TURN or STUN server's traffic over UDP, on any port: from tcpdump, from Wireshark, or recorded by
    /// this relay. No secret is needed. Exits with 0 if no client failed, 1 if one did, 2 if the file cannot be read or is no capture.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainOptions),
    /// Have a running relay replaced by the program that is installed now, without losing a call, and wait for that. Exits with 1 if the old
    /// process serves on.
    Upgrade(UpgradeOptions),
    /// Wait for the processes that a relay has handed over to.
    #[command(hide = true)]
    Supervise,
}

/// Options of `firezone-relay explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainOptions {
    /// The capture; `-` reads it from stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print JSON, for programs: docs/traces.md describes it.
    #[arg(long)]
    pub(crate) json: bool,

    /// List the clients that succeeded, too, instead of counting them.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Options of `firezone-relay upgrade`.
#[derive(Args, Debug)]
pub(crate) struct UpgradeOptions {
    /// The process that was started as firezone-relay, such as systemd's $MAINPID.
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) process: i32,
}

/// Options of `firezone-relay doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorOptions {
    /// Print JSON, for programs: the status of the whole, and of each thing that was looked at.
    #[arg(long)]
    pub(crate) json: bool,

    /// Those of the relay that is to run here.
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Options of `firezone-relay check-peer`.
#[derive(Args, Debug)]
pub(crate) struct CheckPeerOptions {
    /// The peer: an address, or an address and a port.
    #[arg(value_name = "ADDRESS[:PORT]")]
    pub(crate) peer: String,

    /// Those of the relay that is asked about.
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The relay's options.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// The IPv4 address that clients and peers reach this relay at. It is told to clients, so behind a NAT it is the NAT's.
    /// Without any public address: the one that this machine's default route leaves from.
    #[arg(long, env = "PUBLIC_IP4_ADDR", value_name = "IPV4", help_heading = "Addresses and ports")]
    pub(crate) public_ip4_addr: Option<String>,

    /// The IPv6 address that clients and peers reach this relay at.
    #[arg(long, env = "PUBLIC_IP6_ADDR", value_name = "IPV6", help_heading = "Addresses and ports")]
    pub(crate) public_ip6_addr: Option<String>,

    /// The local IPv4 address to listen and relay on [default: all of them, if there is a public IPv4 address]
    #[arg(long, env = "BIND_IP4_ADDR", value_name = "IPV4", help_heading = "Addresses and ports")]
    pub(crate) bind_ip4_addr: Option<String>,

    /// The local IPv6 address to listen and relay on [default: all of them, if there is a public IPv6 address]
    #[arg(long, env = "BIND_IP6_ADDR", value_name = "IPV6", help_heading = "Addresses and ports")]
    pub(crate) bind_ip6_addr: Option<String>,

    /// Whether a NAT translates the public addresses, so that this machine never has them: `yes`, `no` or `auto`. While an address
    /// that no NAT has is not there, as a floating address is not, new allocations are refused. `auto` takes an address for a
    /// NAT's unless this machine had it, or has one in the same network, or one that needs no NAT [default: auto]
    #[arg(long, env = "BEHIND_NAT", value_name = "SWITCH", help_heading = "Addresses and ports")]
    pub(crate) behind_nat: Option<String>,

    /// How long to wait at the start for an address that an option names and this machine does not have yet, as at boot, such
    /// as 0s, 30s or 5m [default: 30s]
    #[arg(long, env = "ADDRESS_TIMEOUT", value_name = "TIME", help_heading = "Addresses and ports")]
    pub(crate) address_timeout: Option<String>,

    /// The UDP port that clients send to [default: 3478]
    #[arg(long, env = "LISTEN_PORT", value_name = "PORT", help_heading = "Addresses and ports")]
    pub(crate) listen_port: Option<String>,

    /// The lowest port that clients can be allocated [default: 49152]
    #[arg(long, env = "LOWEST_PORT", value_name = "PORT", help_heading = "Addresses and ports")]
    pub(crate) lowest_port: Option<String>,

    /// The highest port that clients can be allocated [default: 65535]
    #[arg(long, env = "HIGHEST_PORT", value_name = "PORT", help_heading = "Addresses and ports")]
    pub(crate) highest_port: Option<String>,

    #[command(flatten)]
    pub(crate) credentials: CredentialOptions,

    /// The realm that clients are told in challenges [default: firezone]
    #[arg(long, env = "REALM", value_name = "REALM", help_heading = "Credentials")]
    pub(crate) realm: Option<String>,

    /// How many allocations one user may hold at a time, whatever usernames the user has been given; beyond it the answer is 486.
    /// With a portal it is one for each username, and a new one takes the place of the old [default: 10]
    #[arg(long, env = "ALLOCATIONS_PER_USERNAME", value_name = "NUMBER", help_heading = "Credentials")]
    pub(crate) allocations_per_username: Option<String>,

    /// How many allocations the clients of one network (an IPv4 /24, an IPv6 /56) may hold at a time together, whoever they are;
    /// beyond it the answer is 486. An office or a mobile network can have thousands of clients in one [default: no limit]
    #[arg(long, env = "ALLOCATIONS_PER_PREFIX", value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) allocations_per_prefix: Option<String>,

    /// How many replies per second go to one address (an IPv4 address, an IPv6 /64) whose requests show no credentials, counted
    /// apart for Binding and for challenges; four times as many at once, and twice as many to one /24 or /56. It keeps others from
    /// flooding that address through this relay. Clients that have an allocation or answer their challenge do not count. Raise it
    /// for many clients behind one address; 0 for no limit [default: 256]
    #[arg(long, env = "REPLY_LIMIT", value_name = "NUMBER", help_heading = "Running")]
    pub(crate) reply_limit: Option<String>,

    #[command(flatten)]
    pub(crate) limits: LimitOptions,

    #[command(flatten)]
    pub(crate) relaying: RelayingOptions,

    #[command(flatten)]
    pub(crate) peers: PeerOptions,

    #[command(flatten)]
    pub(crate) portal: PortalOptions,

    #[command(flatten)]
    pub(crate) offload: OffloadOptions,

    #[command(flatten)]
    pub(crate) operations: OperationsOptions,

    /// How many threads relay; clients are spread over them by address [default: one per core]
    #[arg(long, env = "WORKERS", value_name = "NUMBER", help_heading = "Running")]
    pub(crate) workers: Option<String>,

    /// Makes every random choice repeatable, including the secret if none is given. For tests: it makes all of them
    /// guessable, too [default: drawn at start]
    #[arg(long, env = "RNG_SEED", value_name = "NUMBER", help_heading = "Running")]
    pub(crate) rng_seed: Option<String>,

    #[command(flatten)]
    pub(crate) record: RecordOptions,

    #[command(flatten)]
    pub(crate) logging: LoggingOptions,
}

impl Cli {
    /// Parses the command line and the environment. For `--help` and `--version` it prints them and ends the process.
    ///
    /// # Errors
    ///
    /// What is wrong, in colour if `is_terminal`.
    pub(crate) fn read(is_terminal: bool) -> Result<Self, String> {
        Self::try_parse().map_err(|error| {
            if !error.use_stderr() {
                error.exit()
            }
            let text = error.render();
            if is_terminal { text.ansi().to_string() } else { text.to_string() }
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_help_and_an_environment_variable() {
        for argument in Cli::command().get_arguments().filter(|argument| argument.get_long().is_some()) {
            let name = argument.get_long().unwrap();
            assert!(argument.get_help().is_some(), "--{name}");
            assert!(argument.get_env().is_some(), "--{name}");
            assert!(argument.get_help_heading().is_some(), "--{name}");
        }
    }
}
