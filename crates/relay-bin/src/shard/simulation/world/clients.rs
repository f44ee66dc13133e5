//! The lives of the simulated clients.

use super::*;

impl World {
    /// Starts a client again, with a new socket and new credentials.
    pub(in crate::shard::simulation) fn begin_life(&mut self, number: usize, at: Timestamp) {
        self.next_port += 1;
        // Some clients share a NAT's address. A third have IPv6 addresses.
        let host = u16::try_from(number % 4).unwrap_or(0);
        let is_v6 = self.setting.has_v6 && number % 3 == 2;
        let ip: IpAddr = if is_v6 {
            Ipv6Addr::new(0x2a02, 0x8100, 0, 0, 0, 0, 0, host + 1).into()
        } else {
            Ipv4Addr::new(80, 1, 0, u8::try_from(host + 1).unwrap_or(1)).into()
        };
        self.begin_life_at(number, at, SocketAddr::new(ip, self.next_port));
    }

    pub(in crate::shard::simulation) fn begin_life_at(&mut self, number: usize, at: Timestamp, address: SocketAddr) {
        self.leave(number);
        let public = self.setting.public().of(Family::of(address.ip()));
        let server = SocketAddr::new(public.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), Setting::LISTEN_PORT);
        let unix = START_UNIX + self.now.saturating_duration_since(START).as_secs();
        let expiry = UnixTime(unix + self.rng.random_range(600..7_200));
        let user = format!("user{}", self.clients[number].user);
        let minted = Scheme::Firezone.mint(&self.secrets[0], expiry, &user);
        let credentials = turn_client::Credentials::new(minted.username, minted.password);
        self.clients[number].begin(at, address, server, credentials);
        self.tell(|| format!("client {number} begins anew at {address}"));
        self.plan_wake(number);
    }

    /// Gives up a client's allocation. No client sends to it any more.
    pub(in crate::shard::simulation) fn leave(&mut self, number: usize) {
        let relayed = self.clients[number].held.take().map(|held| held.relayed).unwrap_or_default();
        self.probes.forgive(number, &relayed);
        for client in &mut self.clients {
            client.targets.retain(|target| target.partner != Some(number));
        }
    }

    pub(super) fn wake(&mut self, number: usize) {
        let (now, pace) = (self.times(), self.pace);
        let owed: Vec<_> = self.owed_by_partners(number, now).collect();
        let client = &mut self.clients[number];
        let is_unlimited = !self.setting.bandwidth.is_limited();
        let (probes, mut begun) = (&mut self.probes, Vec::new());
        let mut begin = |client: &mut Client, to, is_owed: bool, behind| {
            let is_partner = client.targets.iter().any(|target| target.address == to && target.partner.is_some());
            let is_owed = is_owed && is_unlimited && (!is_partner || owed.contains(&to));
            let payload = probes.begin((client.number, client.life), to, now.time, is_owed, behind);
            begun.push(payload.probe);
            payload.write(client.payload_length())
        };
        let trains = client.wake(now, pace, &mut begin);
        for probe in begun {
            self.schedule(self.now + PATIENCE, Event::ProbeEnds(probe));
        }
        for train in trains {
            for packet in &train {
                self.tell(|| format!("client {number} sends {}", describe(packet)));
            }
            self.overheard = train.first().cloned();
            self.send(train, true);
        }
        self.grant_wishes(number);
        self.plan_wake(number);
    }

    /// The client's partners whose answers are owed to it.
    pub(super) fn owed_by_partners(&self, number: usize, now: Now) -> impl Iterator<Item = SocketAddr> {
        let client = &self.clients[number];
        client.targets.iter().filter_map(move |target| {
            let partner = &self.clients[target.partner?];
            let held = partner.held.as_ref().filter(|held| held.relayed.contains(&target.address));
            let mine = client.held.as_ref()?.relayed.iter().find(|mine| mine.is_ipv4() == target.address.is_ipv4())?;
            (held.is_some() && partner.owes_answer(now, *mine)).then_some(target.address)
        })
    }

    pub(in crate::shard::simulation) fn plan_wake(&mut self, number: usize) {
        let at = self.clients[number].wake_at(self.origin).max(self.now);
        if at < Timestamp::from_nanos(u64::MAX) && self.wakes[number].is_none_or(|planned| at < planned) {
            self.wakes[number] = Some(at);
            self.schedule(at, Event::Wake(number));
        }
    }

    pub(super) fn grant_wishes(&mut self, number: usize) {
        let recently = self.now.saturating_duration_since(Timestamp::ZERO).saturating_sub(ALLOCATING);
        while self
            .allocating
            .pop_front_if(|(at, ..)| at.saturating_duration_since(Timestamp::ZERO) < recently)
            .is_some()
        {}
        for wish in std::mem::take(&mut self.clients[number].wishes) {
            match wish {
                Wish::Targets => {
                    let life = (number, self.clients[number].life);
                    let user = self.clients[number].user;
                    if self.allocating.iter().any(|(_, of, other)| *of == user && *other != life) {
                        self.doubt(number);
                    }
                    self.find_targets(number);
                }
                Wish::Reserved(token) => self.hand_over(number, token),
                Wish::Rebirth => {
                    let at = self.now + self.rng.random_range(Duration::ZERO..Duration::from_secs(5));
                    self.begin_life(number, at);
                }
                Wish::Granted(request, at_once) => self.probes.decide(number, request, at_once),
                Wish::Allocating => {
                    if self.setting.username_limit == UsernameLimit::ReplaceOldest {
                        self.doubt_user(number);
                        let client = &self.clients[number];
                        self.allocating.push_back((self.now, client.user, (number, client.life)));
                    }
                }
            }
        }
    }

    /// Ends the guarantees for all other clients of the same user.
    fn doubt_user(&mut self, number: usize) {
        let user = self.clients[number].user;
        for other in 0..self.clients.len() {
            if other != number && self.clients[other].user == user {
                self.doubt(other);
            }
        }
    }

    /// Ends the guarantees for a client's allocation and data.
    pub(in crate::shard::simulation) fn doubt(&mut self, number: usize) {
        self.clients[number].doubt();
        let relayed = self.clients[number].held.as_ref().map(|held| held.relayed.clone()).unwrap_or_default();
        self.probes.forgive(number, &relayed);
    }

    fn find_targets(&mut self, number: usize) {
        let now = self.times();
        let relayed = self.clients[number].held.as_ref().map(|held| held.relayed.clone()).unwrap_or_default();
        let count = self.rng.random_range(0..3);
        let peers: Vec<_> = self.peers.iter().copied().collect();
        for _ in 0..count {
            let peer = peers[self.rng.random_range(0..peers.len())];
            if relayed.iter().any(|relayed| relayed.is_ipv4() == peer.is_ipv4()) {
                self.clients[number].add_target(now, peer, None);
            }
        }
        let partner = self.rng.random_range(0..self.clients.len());
        let theirs = self.clients[partner].held.as_ref().map(|held| held.relayed.clone()).unwrap_or_default();
        for (mine, theirs) in relayed.iter().flat_map(|mine| theirs.iter().map(move |theirs| (*mine, *theirs))) {
            if partner != number && mine.is_ipv4() == theirs.is_ipv4() {
                self.clients[number].add_target(now, theirs, Some(partner));
                self.clients[partner].add_target(now, mine, Some(number));
                self.plan_wake(partner);
            }
        }
    }

    /// Gives a reservation to another client of the same user, which starts again for it.
    fn hand_over(&mut self, number: usize, token: u64) {
        let user = self.clients[number].user;
        let others = (0..self.clients.len()).filter(|other| *other != number && self.clients[*other].user == user);
        let others: Vec<_> = others.collect();
        if others.is_empty() || self.rng.random_bool(0.3) {
            return;
        }
        let other = others[self.rng.random_range(0..others.len())];
        let at = self.now + self.rng.random_range(Duration::ZERO..Duration::from_secs(35));
        self.begin_life(other, at);
        self.clients[other].use_token(token);
    }

    pub(super) fn end_probe(&mut self, number: u64) {
        let Some(probe) = self.probes.get(number) else { return };
        // A stalled worker has delayed it.
        if self.last_stall > probe.sent_at && self.now < self.last_stall + PATIENCE && probe.returned == 0 {
            return self.schedule(self.last_stall + PATIENCE, Event::ProbeEnds(number));
        }
        let Some(probe) = self.probes.end(number) else { return };
        let now = self.times();
        if probe.is_owed && probe.behind.is_none() {
            self.probes.owed += 1;
            assert!(
                probe.returned > 0,
                "the data of client {} to {}, probe {number}, did not come back, though nothing was lost on its way",
                probe.client,
                probe.to
            );
        }
        self.clients[probe.client].note_probe(now, probe.life, probe.returned > 0);
        self.grant_wishes(probe.client);
        self.plan_wake(probe.client);
    }
}
