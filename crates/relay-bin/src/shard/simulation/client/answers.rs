//! How a client handles responses.

use super::*;

impl Client {
    pub(super) fn take_answers(&mut self, now: Now) {
        while let Some((id, answer)) = self.turn.poll_answer() {
            let Some(asked) = self.asked.remove(&id) else { continue };
            self.wishes.push(Wish::Granted(id, answer.is_ok() && asked.transmissions == 1));
            self.take_answer(now, asked, answer);
        }
    }

    fn take_answer(&mut self, now: Now, asked: Asked, answer: Answer) {
        if let Err(failure @ (Failure::BadIntegrity | Failure::Incomplete(_) | Failure::Unwritable(_))) = &answer {
            panic!("client {}: {:?}: {failure}", self.number, asked.purpose);
        }
        match (asked.purpose, answer) {
            (Purpose::Allocate, Ok(Success::Allocated(allocated))) => self.allocated(now, asked.at, allocated),
            (Purpose::Allocate, Err(failure)) => self.not_allocated(now, &failure),
            (Purpose::Refresh, Ok(Success::Refreshed { lifetime })) => {
                if let Some(held) = &mut self.held {
                    held.until = asked.at + lifetime;
                    held.refresh_at = now.time + self.rng.random_range(lifetime / 4..lifetime - lifetime / 8);
                }
            }
            (Purpose::Delete, _) => self.wishes.push(Wish::Rebirth),
            (Purpose::Bind(peer), Ok(_)) => {
                let again = self.again(CHANNEL_LIFETIME);
                if let Some(target) = self.targets.iter_mut().find(|target| target.address == peer) {
                    target.bound_until = asked.at + CHANNEL_LIFETIME;
                    // A channel also installs a permission: https://www.rfc-editor.org/rfc/rfc8656#section-9
                    target.permitted_until = target.permitted_until.max(asked.at + PERMISSION_LIFETIME);
                    target.bind_at = now.time + again;
                }
            }
            (Purpose::Permit(peer), Ok(_)) => {
                let again = self.again(PERMISSION_LIFETIME);
                if let Some(target) = self.targets.iter_mut().find(|target| target.address == peer) {
                    target.permitted_until = asked.at + PERMISSION_LIFETIME;
                    target.permit_at = now.time + again;
                }
            }
            (purpose, Err(failure)) => self.refused(now, purpose, &failure),
            (purpose, answer) => panic!("client {}: {answer:?} to {purpose:?}", self.number),
        }
    }

    /// How long to wait before renewing something with this lifetime.
    fn again(&mut self, lifetime: Duration) -> Duration {
        if self.style.is_diligent || self.rng.random_bool(0.5) {
            self.rng.random_range(lifetime / 4..lifetime - lifetime / 8)
        } else {
            self.rng.random_range(lifetime..lifetime * 2)
        }
    }

    fn allocated(&mut self, now: Now, asked_at: Timestamp, allocated: Allocated) {
        let lifetime = allocated.lifetime;
        let is_short = self.rng.random_bool(0.3);
        let stays = if is_short { Duration::from_secs(60) } else { Duration::from_secs(4_000) };
        self.held = Some(Held {
            relayed: allocated.relayed,
            until: asked_at + lifetime,
            refresh_at: now.time + self.rng.random_range(lifetime / 4..lifetime - lifetime / 8),
            delete_at: now.time + self.rng.random_range(stays / 10..stays),
            is_sure: !self.doubts_answer,
        });
        self.probe_at = now.time;
        self.wishes.push(Wish::Targets);
        self.wishes.extend(allocated.reservation_token.map(Wish::Reserved));
    }

    fn not_allocated(&mut self, now: Now, failure: &Failure) {
        let wait = match failure.code() {
            Some(400 | 420 | 442) => panic!("client {}: {failure}", self.number),
            // Another client at this address has an allocation, or the credentials are invalid: start again.
            Some(437 | 401 | 441) => return self.wishes.push(Wish::Rebirth),
            Some(_) => self.rng.random_range(1_000..30_000),
            None => 100,
        };
        self.ask_at = now.time + Duration::from_millis(wait);
    }

    fn refused(&mut self, now: Now, purpose: Purpose, failure: &Failure) {
        match failure.code() {
            // All transmissions were lost.
            None => {}
            Some(403) => {
                let (Purpose::Bind(peer) | Purpose::Permit(peer)) = purpose else { panic!("{purpose:?}: {failure}") };
                self.targets.retain(|target| target.address != peer);
                return;
            }
            Some(401) if self.style.is_strict => {}
            Some(508) => return self.put_off(now, purpose, failure),
            Some(_) => {
                let is_sure = self.is_sure(now, Duration::ZERO);
                assert!(
                    !is_sure,
                    "client {} at {} is owed its allocation: {purpose:?}: {failure}",
                    self.number, self.address
                );
            }
        }
        self.wishes.push(Wish::Rebirth);
    }
}

impl Client {
    /// Handles 508 for a channel or permission: there are too many. The client tries later. Renewals are never refused.
    fn put_off(&mut self, now: Now, purpose: Purpose, failure: &Failure) {
        let is_sure = self.is_sure(now, Duration::ZERO);
        let later = now.time + Duration::from_millis(self.rng.random_range(5_000..60_000));
        let (Purpose::Bind(peer) | Purpose::Permit(peer)) = purpose else { panic!("{purpose:?}: {failure}") };
        let Some(target) = self.targets.iter_mut().find(|target| target.address == peer) else { return };
        let has =
            target.permitted_until > now.relay && (purpose == Purpose::Permit(peer) || target.bound_until > now.relay);
        assert!(!(is_sure && has), "client {} may renew what it has: {purpose:?}: {failure}", self.number);
        match purpose {
            Purpose::Bind(_) => target.bind_at = later,
            _ => target.permit_at = later,
        }
    }
}
