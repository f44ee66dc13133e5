//! A real OpenTelemetry collector.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::{
    capability::{can, python},
    port::free_tcp_address,
    wait_until,
};

/// The collector that `cargo xtask setup` installs.
fn program() -> Option<PathBuf> {
    let script = "import rotel, os; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let output = Command::new(python()).args(["-c", script]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

/// A collector that writes down what it gets.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    /// Where it takes OTLP over gRPC.
    pub address: SocketAddr,
    written: PathBuf,
}

impl Collector {
    /// Starts one; `None`, after saying why, where there is none. `name` keeps it apart from others of this process.
    pub fn start(name: &str) -> Option<Self> {
        let program = program();
        if !can("rotel", program.is_some(), "rotel is not installed (`cargo xtask setup`)") {
            return None;
        }
        let program = program.unwrap();
        // Wheels do not keep the mode of files.
        let _ = Command::new("chmod").arg("+x").arg(&program).status();
        let (address, http) = (free_tcp_address(), free_tcp_address());
        let written = env::temp_dir().join(format!("collector-{name}-{}.log", std::process::id()));
        let output = File::create(&written).unwrap();
        let child = Command::new(program)
            .arg("start")
            .args(["--otlp-grpc-endpoint", &address.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .args(["--exporter", "blackhole", "--debug-log", "metrics", "--debug-log", "traces"])
            .args(["--debug-log-verbosity", "detailed"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        wait_until(|| TcpStream::connect(address).is_ok());
        Some(Self { child, address, written })
    }

    /// Stops it, as if it hung.
    pub fn freeze(&self) {
        let status = Command::new("kill").args(["-s", "STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// All that it has written until now.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.written).unwrap()
    }

    /// The last value of each counter without attributes that it has got.
    pub fn values(&self) -> BTreeMap<String, u64> {
        let text = self.text();
        let mut values = BTreeMap::new();
        let mut name = None;
        for line in text.lines().map(str::trim) {
            if let Some(found) = line.strip_prefix("-> Name: ") {
                name = Some(found.to_owned());
            } else if let Some(value) = line.strip_prefix("Value: ")
                && let (Some(name), Ok(value)) = (name.take(), value.parse())
            {
                values.insert(name, value);
            }
        }
        values
    }

    /// Whether the last value of a counter without attributes is this.
    pub fn has_value(&self, name: &str, value: u64) -> bool {
        self.values().get(name) == Some(&value)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.written);
    }
}
