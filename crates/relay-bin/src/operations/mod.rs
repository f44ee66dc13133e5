//! What an operator needs besides relaying: health, metrics, control, and the throughput in the log. Runs on a separate thread that
//! only reads what the workers publish, so that neither delays the other.

mod control;
mod crowd;
mod health;
mod http;
mod listen;
mod recording;
mod unix_socket;

use std::{
    future::ready,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Context as _;
use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
};

use crate::{
    accounting::UserTotals,
    files::Files,
    logging::FilterControl,
    record::RecordControl,
    telemetry::{self, Observer, Telemetry, TelemetryConfig, Tracer, throughput},
};

use self::http::Ask;
pub(crate) use self::listen::{Bound, Listen, bind};

/// What to serve, and from which parts of the relay.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) health: Vec<Bound>,
    pub(crate) control: Vec<Bound>,
    /// Limits the number of connections.
    pub(crate) files: Files,
    pub(crate) observer: Arc<Observer>,
    pub(crate) filter: FilterControl,
    pub(crate) record: Arc<RecordControl>,
    pub(crate) users: UserTotals,
}

/// The operations thread.
#[derive(Debug)]
pub(crate) struct Operations {
    setup: Option<oneshot::Sender<Setup>>,
    /// Whether another process accepts connections.
    handed_over: watch::Sender<bool>,
    stop: oneshot::Sender<()>,
    /// Dropped when the last spans are sent. The thread's runtime must live until then.
    spans_sent: oneshot::Sender<()>,
    /// Disconnected when the thread has ended.
    ended: mpsc::Receiver<()>,
    tracer: Option<Tracer>,
}

impl Operations {
    /// Starts the thread. It waits for [`Self::serve`].
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(telemetry: Option<&TelemetryConfig>) -> anyhow::Result<Self> {
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().build().context("cannot start a runtime")?;
        let telemetry = {
            let _entered = runtime.enter();
            telemetry.map(Telemetry::new).transpose()?
        };
        let tracer = telemetry.as_ref().map(Telemetry::tracer);
        let (give_setup, setup) = oneshot::channel();
        let (handed_over, is_handed_over) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let (spans_sent, all_spans_sent) = oneshot::channel::<()>();
        let (tell_end, ended) = mpsc::channel();
        thread::Builder::new()
            .name("operations".to_owned())
            .spawn(move || {
                // Dropped when the thread ends, even by a panic.
                let _tell_end = tell_end;
                runtime.block_on(async move {
                    if let Ok(setup) = setup.await {
                        operate(setup, telemetry, is_handed_over, stopped).await;
                    }
                    // Always an error: the sender is only dropped.
                    let _ = all_spans_sent.await;
                });
                // Do not wait for a name look-up that hangs.
                runtime.shutdown_background();
            })
            .context("cannot start the thread for operations")?;
        Ok(Self { setup: Some(give_setup), handed_over, stop, spans_sent, ended, tracer })
    }

    /// The exporter of spans, if there is a collector.
    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.tracer.as_ref()
    }

    /// Starts to serve.
    pub(crate) fn serve(&mut self, setup: Setup) {
        if let Some(give) = self.setup.take() {
            // An error means that the thread has panicked, which is in the log.
            let _ = give.send(setup);
        }
    }

    /// Accepts no connection any more: another process does. Those that there are are answered.
    pub(crate) fn hand_over(&self) {
        self.handed_over.send_replace(true);
    }

    /// Ends the thread. Sends the last metrics and spans if the collector answers promptly.
    pub(crate) fn stop(self) {
        let Self { setup, handed_over: _handed_over, stop, spans_sent, ended, tracer } = self;
        drop(setup);
        // An error means that the thread has ended already.
        let _ = stop.send(());
        if let Some(tracer) = tracer {
            tracer.flush(telemetry::PROMPT);
        }
        drop(spans_sent);
        // Either the thread has ended, or it took too long.
        let _ = ended.recv_timeout(telemetry::PROMPT);
    }
}

async fn operate(
    setup: Setup,
    telemetry: Option<Telemetry>,
    handed_over: watch::Receiver<bool>,
    stopped: oneshot::Receiver<()>,
) {
    let Setup { health, control, files, observer, filter, record, users } = setup;
    let observed = Arc::clone(&observer);
    let answer = move |ask: &Ask<'_>| ready(health::answer(&observed, ask));
    let (faults, clock) = (observer.faults.clone(), observer.clock);
    tokio::spawn(http::serve(health, files.health_connections(), faults.clone(), clock, handed_over.clone(), answer));
    let answer = move |ask: &Ask<'_>| control::answer(&filter, &record, &users, ask);
    tokio::spawn(http::serve(control, files.control_connections(), faults, clock, handed_over, answer));
    tokio::spawn(throughput::log(Arc::clone(&observer)));
    match telemetry {
        Some(mut telemetry) => telemetry.run(&observer, stopped).await,
        // An error means that the relay has ended without stopping this thread.
        None => drop(stopped.await),
    }
}
