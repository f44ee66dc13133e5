//! The values of instruments, computed from a snapshot.

use std::{borrow::Cow, collections::BTreeMap};

use relay_server::{AddressStatus, ErrorCode, Method};

use super::observer::Snapshot;
use crate::names::Named;

/// The attributes of one point.
pub(super) type Attributes = Vec<(&'static str, Cow<'static, str>)>;

/// The values of an instrument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Points {
    Numbers(Vec<(Attributes, u64)>),
    Histogram(Distribution),
}

/// The number of values in each range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distribution {
    /// Inclusive upper bounds. No value is above the last.
    pub(super) bounds: Vec<u64>,
    /// The number of values up to each bound and above the one before.
    pub(super) counts: Vec<u64>,
    /// The sum of all values.
    pub(super) sum: u64,
}

pub(super) fn number(value: u64) -> Points {
    numbers([(Vec::new(), value)])
}

pub(super) fn numbers(points: impl IntoIterator<Item = (Attributes, u64)>) -> Points {
    Points::Numbers(points.into_iter().collect())
}

pub(super) fn by_name<K: Named + Copy>(attribute: &'static str, counts: &BTreeMap<K, u64>) -> Points {
    by_key(attribute, counts, K::name)
}

pub(super) fn by_key<K: Copy>(
    attribute: &'static str,
    counts: &BTreeMap<K, u64>,
    name: impl Fn(K) -> &'static str,
) -> Points {
    numbers(counts.iter().map(|(key, count)| (vec![(attribute, name(*key).into())], *count)))
}

pub(super) fn one_of(attribute: &'static str, all: &[&'static str], current: &str) -> Points {
    numbers(all.iter().map(|state| (vec![(attribute, (*state).into())], u64::from(*state == current))))
}

pub(super) fn public_addresses(now: &Snapshot) -> Points {
    const STATES: [(AddressStatus, &str); 3] = [
        (AddressStatus::Present, "present"),
        (AddressStatus::Missing, "missing"),
        (AddressStatus::NoFamily, "no_family"),
    ];
    let families = [("ipv4", now.addresses.v4), ("ipv6", now.addresses.v6)];
    numbers(families.into_iter().filter_map(|(name, family)| family.map(|family| (name, family.status))).flat_map(
        |(name, status)| {
            STATES.map(|(state, text)| {
                (vec![("network_type", name.into()), ("state", text.into())], u64::from(state == status))
            })
        },
    ))
}

pub(super) fn responses(now: &Snapshot) -> Points {
    let point = |((method, code), count): (&(u16, Option<ErrorCode>), &u64)| {
        let class = if code.is_none() { "success" } else { "error" };
        let mut attributes: Attributes =
            vec![("response_class", class.into()), ("message_type", message_type(*method))];
        if let Some(code) = code {
            attributes.push(("error_code", code.number().to_string().into()));
        }
        (attributes, *count)
    };
    numbers(now.counters.responses.iter().map(point))
}

/// The name of a [STUN method](https://www.rfc-editor.org/rfc/rfc8656#section-17).
pub(super) fn message_type(method: u16) -> Cow<'static, str> {
    match Method::new(method).name() {
        Some(name) => snake_case(name).into(),
        None => format!("{method:#05x}").into(),
    }
}

fn snake_case(camel: &str) -> String {
    let mut snake = String::new();
    for character in camel.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}
