//! How the event loop stands still while its relay is handed over: see [`crate::shard::handover`].

use std::time::Duration;

use super::EventLoop;
use crate::{
    clock::TimeSource,
    shard::{
        handover::{GiveTo, HandoverStep, WorkerState},
        inbound::Inbound,
        mailbox::Mail,
        pulse::Pulse,
    },
};

/// How often to look for requests that early data waits for. Each look reads as many as one turn does.
const LOOKS: usize = 1_000;

/// How long to wait for mail at a time, between two signs of life.
const WAIT: Duration = Duration::from_millis(500);

impl<S: Inbound, C: TimeSource> EventLoop<S, C> {
    /// Stands still until told to go on or to end.
    pub(super) fn stand_still(&mut self) {
        let Some(answer) = self.pausing.take() else { return };
        // What was read must not be lost: data that waits for its request, too.
        for _ in 0..LOOKS {
            if !self.driver.has_early() {
                break;
            }
            self.look_for_requests();
            self.give_turns();
        }
        self.driver.handle_timeout(self.now, &mut self.sockets);
        self.driver.stand_still(self.now);
        self.publish();
        if answer.send(()).is_err() {
            // The handover was given up already.
            return self.go_on();
        }
        let mut taken = 0;
        loop {
            let Some(mail) = self.mailbox.wait(WAIT) else {
                self.now = self.clock.now();
                self.pulse.beat(self.now);
                self.beat_at = self.now + Pulse::EVERY;
                continue;
            };
            match mail {
                Mail::Handover(HandoverStep::Pause(answer)) => _ = answer.send(()),
                Mail::Handover(HandoverStep::Settle(answer)) => _ = answer.send(std::mem::take(&mut taken)),
                Mail::Handover(HandoverStep::Give(to, answer)) => _ = answer.send(self.give(to)),
                Mail::Handover(HandoverStep::Resume) => break,
                Mail::Handover(HandoverStep::Leave) => {
                    (self.has_left, self.is_told_to_stop) = (true, true);
                    return;
                }
                mail => {
                    taken += 1;
                    self.handle_mail(mail);
                    if self.is_told_to_stop {
                        return;
                    }
                }
            }
        }
        self.go_on();
    }

    fn go_on(&mut self) {
        self.now = self.clock.now();
        self.driver.go_on();
        self.mailbox.look_again();
        // What has arrived meanwhile is told of by the kernel; what was left unread before is not.
        self.resume_at = Some(self.now);
    }

    fn give(&self, to: GiveTo) -> std::io::Result<()> {
        let (relays, sockets): (Vec<_>, Vec<_>) = self.sockets.hand_over().into_iter().unzip();
        let snapshot = self.driver.snapshot(self.now).to_bytes();
        let (listener_drops, accounting_life) = (self.sockets.listener_drops(), self.driver.accounting_life());
        to(&WorkerState { snapshot, relays, accounting_life, listener_drops }, &sockets)
    }
}
