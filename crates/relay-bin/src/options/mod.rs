//! All options with their environment variables. They are parsed into configurations, which the modules that use them define. No
//! other module knows the command line.

mod addresses;
mod bandwidth;
mod check_peer;
mod cli;
mod config;
mod credentials;
mod doctor;
mod duration;
mod entropy;
mod limits;
mod logging;
mod mint;
mod offload;
mod operations;
mod peers;
mod portal;
mod problems;
mod record;
mod relaying;
mod seed;
mod telemetry;

pub(crate) use self::{
    check_peer::check_peer,
    cli::{CheckPeerOptions, Cli, Command, DoctorOptions, ExplainOptions, Options},
    config::{ADDRESS_TIMEOUT, Config, address_timeout},
    doctor::doctor,
    entropy::OsEntropy,
    logging::read as read_logging,
    mint::mint,
    operations::OperationsConfig,
    problems::{Collector, Problems},
};
