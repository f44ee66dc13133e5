//! The answer to the question which users relay most.

use std::collections::BTreeMap;

use relay_server::{Relayed, Traffic};
use serde_json::{Value, json};

use super::{
    ledger::Ledger,
    users::{Totals, Users},
};

/// The `count` users with the most bytes, and what they have relayed.
pub(super) fn json(all: &Users, ledger: &Ledger, count: usize) -> String {
    let mut users: BTreeMap<&str, (Totals, Totals)> = BTreeMap::new();
    for (user, totals) in all.iter() {
        users.entry(user).or_default().0 += *totals;
    }
    for (user, totals) in ledger.living() {
        users.entry(user).or_default().1 += totals;
    }
    let (forgotten_times, forgotten) = all.forgotten();
    let known = users.len();
    let mut users: Vec<_> = users.into_iter().collect();
    users.sort_by_key(|(_, (ended, living))| std::cmp::Reverse(ended.bytes().saturating_add(living.bytes())));
    let users: Vec<Value> = users.into_iter().take(count).map(|(user, totals)| user_json(user, totals)).collect();
    let mut rest = totals_json(forgotten);
    rest["times"] = forgotten_times.into();
    json!({ "users": users, "known_users": known, "forgotten": rest }).to_string() + "\n"
}

fn user_json(user: &str, (ended, living): (Totals, Totals)) -> Value {
    let mut all = ended;
    all += living;
    let mut value = totals_json(all);
    value["user_id"] = user.into();
    value["living_allocations"] = living.allocations.into();
    value
}

fn totals_json(totals: Totals) -> Value {
    let traffic = |traffic: Traffic| json!({ "packets": traffic.packets, "bytes": traffic.bytes });
    let relayed =
        |relayed: Relayed| json!({ "to_peers": traffic(relayed.to_peers), "from_peers": traffic(relayed.from_peers) });
    json!({
        "bytes": totals.bytes(),
        "allocations": totals.allocations,
        "user_space": relayed(totals.in_user_space),
        "kernel": relayed(totals.in_kernel),
    })
}
