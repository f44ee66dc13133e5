//! Recordings of a world that begin in the middle of its run.

use std::collections::BTreeMap;

use packet_trace::{AcceptedCredentials, Limits, ShardSnapshot, TraceHeader, TraceWriter};

use super::World;

impl World {
    /// Begins another recording, as a relay does that is told to record while it runs. What was recorded before, and not taken, is lost.
    pub fn record_anew(&mut self, with_secret: bool) {
        let secret = with_secret.then(|| self.secret.expose().to_owned());
        let mut header = TraceHeader {
            from_start: false,
            snapshots: true,
            auth_secret: secret.clone(),
            ..self.writer.header().clone()
        };
        header.shards.iter_mut().for_each(|shard| shard.seed = [0; 32]);
        let described = ShardSnapshot {
            shard: 0,
            // The writer knows it.
            unix_nanos: 0,
            config: header.shards[0].config.clone(),
            accepted: AcceptedCredentials {
                firezone: true,
                turn_rest: false,
                secrets: secret.into_iter().collect(),
                nonce_key: None,
                users: BTreeMap::new(),
            },
            with_secret,
            offers_algorithms: true,
            state: self.server.snapshot(self.timestamp()).to_bytes().to_vec(),
        };
        self.out.clear();
        self.writer = TraceWriter::new(header, Limits::default(), &mut self.out);
        // Without limits it is written.
        let _written = self.writer.snapshot(self.now, described, &mut self.out);
    }
}
