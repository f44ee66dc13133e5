//! All workers stand still, while another process takes their allocations over.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    handover::Channel,
    shard::{GiveTo, HandoverStep, Mail, Sender},
};

/// How long a worker may take for a step. It finishes what it is at.
const STEP: Duration = Duration::from_secs(5);

/// How often workers are asked whether they have mail for each other. They have less of it each time.
const ROUNDS: usize = 1_000;

/// Workers that stand still. They go on when this is dropped.
#[derive(Debug)]
pub(super) struct Standstill<'a> {
    workers: &'a [Sender],
    have_left: bool,
}

impl<'a> Standstill<'a> {
    /// Makes `workers` stand still, and waits until none has mail for another one.
    ///
    /// # Errors
    ///
    /// When one takes too long.
    pub(super) async fn begin(workers: &'a [Sender]) -> anyhow::Result<Self> {
        let this = Self { workers, have_left: false };
        this.ask_all(HandoverStep::Pause).await.context("the workers do not stand still")?;
        for _ in 0..ROUNDS {
            // Mail is in the other worker's mailbox before its sender answers: if nobody has taken any, there is none.
            let taken: usize = this.ask_all(HandoverStep::Settle).await?.into_iter().sum();
            if taken == 0 {
                return Ok(this);
            }
        }
        Err(anyhow!("the workers do not stop sending each other messages"))
    }

    /// Sends the state of each worker, with its sockets.
    ///
    /// # Errors
    ///
    /// When the other process does not take them.
    pub(super) async fn give(&self, channel: &Arc<Channel>) -> anyhow::Result<()> {
        for (number, worker) in self.workers.iter().enumerate() {
            let channel = Arc::clone(channel);
            let give: GiveTo = Box::new(move |state, files| channel.send(state, files));
            ask(worker, |answer| HandoverStep::Give(give, answer))
                .await?
                .with_context(|| format!("cannot send the state of worker {number}"))?;
        }
        Ok(())
    }

    /// The workers end: their allocations live on in the other process.
    pub(super) fn leave(mut self) {
        self.have_left = true;
        self.tell(|| HandoverStep::Leave);
    }

    fn tell(&self, step: impl Fn() -> HandoverStep) {
        self.workers.iter().for_each(|worker| worker.send(Mail::Handover(step())));
    }

    async fn ask_all<T>(&self, step: impl Fn(oneshot::Sender<T>) -> HandoverStep) -> anyhow::Result<Vec<T>> {
        let asked: Vec<_> = self.workers.iter().map(|worker| send(worker, &step)).collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(wait_for(answer).await?);
        }
        Ok(answers)
    }
}

impl Drop for Standstill<'_> {
    fn drop(&mut self) {
        if !self.have_left {
            self.tell(|| HandoverStep::Resume);
        }
    }
}

fn send<T>(worker: &Sender, step: impl FnOnce(oneshot::Sender<T>) -> HandoverStep) -> oneshot::Receiver<T> {
    let (answer, answered) = oneshot::channel();
    worker.send(Mail::Handover(step(answer)));
    answered
}

async fn ask<T>(worker: &Sender, step: impl FnOnce(oneshot::Sender<T>) -> HandoverStep) -> anyhow::Result<T> {
    wait_for(send(worker, step)).await
}

async fn wait_for<T>(answer: oneshot::Receiver<T>) -> anyhow::Result<T> {
    match timeout(STEP, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(anyhow!("a worker has ended")),
        Err(_) => Err(anyhow!("a worker has not answered for {} seconds", STEP.as_secs())),
    }
}
