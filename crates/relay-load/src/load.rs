//! `relay-load run`: puts load on one server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use turn_client::Credentials;

use crate::{
    client::Server,
    clients::{self, Via},
    flows::{self, Direction},
    interrupt, process,
    traffic::{LEAST, Pace, Plan, Report, Traffic},
};

/// Relay data through a TURN server and check every payload of it. The allocations are closed at the end, also after Ctrl-C.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server, such as `turn.example.org:3478`.
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// The username.
    #[arg(long)]
    user: String,
    /// The password.
    #[arg(long)]
    pass: String,
    /// How many flows; each is a client with an allocation (two of each with `--direction pair`).
    #[arg(long, default_value_t = 1)]
    flows: usize,
    /// Which way the data goes.
    #[arg(long, value_enum, default_value = "up")]
    direction: Direction,
    /// What the data goes in between clients and the server.
    #[arg(long, value_enum, default_value = "channel")]
    via: Via,
    /// Bytes of application data in each datagram.
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Datagrams per second over all flows [default: as fast as they arrive]
    #[arg(long)]
    rate: Option<u64>,
    /// Without a rate: how many datagrams are under way.
    #[arg(long, default_value_t = 512)]
    window: u64,
    /// How many datagrams a sender hands to the kernel as one (GSO), up to 64.
    #[arg(long, default_value_t = 1)]
    segments: usize,
    /// Never sleep between datagrams: exact times and latencies, for a whole core.
    #[arg(long)]
    busy: bool,
    /// How long, in seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How often to refresh allocations and channels, in seconds; meanwhile no data is sent. Permissions last for 300.
    #[arg(long, default_value_t = 240.0, value_name = "SECONDS")]
    refresh_every: f64,
    /// The address that clients and the peer send from; the server must reach it [default: what the route to it has]
    #[arg(long)]
    from: Option<IpAddr>,
    /// A server process on this machine, whose CPU time is measured.
    #[arg(long)]
    pid: Option<u32>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    process::raise_open_files()?;
    let plan = plan(args)?;
    let server = args.server.to_socket_addrs().with_context(|| format!("cannot resolve {}", args.server))?.next();
    let server = server.with_context(|| format!("{} has no address", args.server))?;
    let from = match args.from {
        Some(from) => from,
        None => route_to(server)?,
    };
    let server = Server { address: server, credentials: Credentials::new(&args.user, &args.pass), from };
    interrupt::listen().context("cannot catch signals")?;
    eprintln!("setting up {} flows through {} ...", args.flows, server.address);
    let mut traffic = flows::through_relay(&server, args.flows, args.direction, args.via, from, plan.segments > 1)?;
    let measured = measure(args, &plan, &server, &mut traffic);
    clients::end(&server, traffic.into_clients());
    let Measured { report, cpu, ended_early } = measured?;
    if args.json {
        println!("{:#}", to_json(&report, cpu));
    } else {
        print(&report, cpu);
    }
    if report.corrupt > 0 || report.duplicates > 0 {
        bail!("{} datagrams arrived corrupt, {} twice", report.corrupt, report.duplicates);
    }
    ended_early.map_or(Ok(()), |error| Err(error.context("ended early")))
}

/// The result of the traffic.
struct Measured {
    report: Report,
    /// The CPU time that the server used.
    cpu: Option<Duration>,
    /// Why it ended early, if it did.
    ended_early: Option<anyhow::Error>,
}

fn measure(args: &Args, plan: &Plan, server: &Server, traffic: &mut Traffic) -> Result<Measured> {
    let before = args.pid.map(process::cpu).transpose()?;
    let every = Duration::from_secs_f64(args.refresh_every);
    let (mut report, mut ended_early) = (Report::default(), None);
    let mut left = plan.duration;
    loop {
        let part = Plan { duration: left.min(every), ..plan.clone() };
        let (sent, received, corrupt) = (report.sent, report.received, report.corrupt);
        report.merge(&traffic.run(&part, |part| {
            eprintln!(
                "{} sent, {} received, {} corrupt",
                sent + part.sent,
                received + part.received,
                corrupt + part.corrupt
            );
        })?);
        left = left.saturating_sub(part.duration);
        if left.is_zero() || interrupt::requested() {
            break;
        }
        if let Err(error) = clients::refresh(server, traffic.clients_mut(), flows::WINDOW)
            && !interrupt::requested()
        {
            ended_early = Some(error);
            break;
        }
    }
    if interrupt::requested() {
        eprintln!("interrupted: this is what came of it until now; a second time ends this program at once");
    }
    let cpu = match (args.pid, before) {
        (Some(pid), Some(before)) => Some(process::cpu(pid)?.saturating_sub(before)),
        _ => None,
    };
    Ok(Measured { report, cpu, ended_early })
}

fn plan(args: &Args) -> Result<Plan> {
    if args.size < LEAST || args.size > 65_000 {
        bail!("--size is {}: give {LEAST} to 65000 bytes", args.size);
    }
    if args.segments == 0 || args.segments > 64 || args.segments * (args.size + 52) > 65_000 {
        bail!("--segments is {}: give 1 to 64, of 65,000 bytes together at most", args.segments);
    }
    if args.flows == 0 || !(args.seconds > 0.0 && args.seconds < 1e6) || args.rate == Some(0) {
        bail!("--flows, --seconds and --rate must be above zero");
    }
    if !(args.refresh_every > 0.0 && args.refresh_every < 1e6) {
        bail!("--refresh-every must be above zero");
    }
    let pace = args.rate.map_or(Pace::Window(args.window.max(args.segments as u64)), Pace::Rate);
    let duration = Duration::from_secs_f64(args.seconds);
    Ok(Plan { pace, size: args.size, duration, segments: args.segments, busy: args.busy })
}

/// The source address of packets to `server`.
fn route_to(server: SocketAddr) -> Result<IpAddr> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(server).with_context(|| format!("there is no route to {server}"))?;
    Ok(socket.local_addr()?.ip())
}

fn micros(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

/// `report` as JSON.
pub(crate) fn to_json(report: &Report, cpu: Option<Duration>) -> serde_json::Value {
    json!({
        "sent": report.sent,
        "received": report.received,
        "lost": report.lost(),
        "corrupt": report.corrupt,
        "duplicates": report.duplicates,
        "late": report.late,
        "seconds": report.elapsed.as_secs_f64(),
        "latency_us": {
            "p50": micros(report.latency.percentile(50.0)),
            "p90": micros(report.latency.percentile(90.0)),
            "p99": micros(report.latency.percentile(99.0)),
            "p99.9": micros(report.latency.percentile(99.9)),
        },
        "server_cpu_us_per_datagram": cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / report.received.max(1) as f64),
    })
}

fn print(report: &Report, cpu: Option<Duration>) {
    let per_second = report.received as f64 / report.elapsed.as_secs_f64().max(1e-9);
    println!(
        "sent       {}\nreceived   {} ({per_second:.0}/s)\nlost       {} ({:.3} %)\ncorrupt    {}\nduplicates {}\nlate       {}",
        report.sent,
        report.received,
        report.lost(),
        report.loss() * 100.0,
        report.corrupt,
        report.duplicates,
        report.late
    );
    for percent in [50.0, 90.0, 99.0, 99.9] {
        println!("p{percent:<9} {:.1} us", micros(report.latency.percentile(percent)));
    }
    if let Some(cpu) = cpu {
        println!("server CPU {:.3} us per datagram", cpu.as_secs_f64() * 1e6 / report.received.max(1) as f64);
    }
}
