//! The kinds of faults. Each can be left out, to find out which of them a failure needs.

use std::{fmt, str::FromStr};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Datagrams are lost.
    Loss,
    /// Datagrams arrive twice.
    Duplication,
    /// Datagrams are delayed, and so overtake each other.
    Delay,
    /// Strangers send noise, and altered copies of clients' datagrams.
    Spoofing,
    /// Strangers of one prefix send requests without end.
    Flood,
    /// A client loses all its state.
    Restart,
    /// A NAT changes a client's port.
    Rebinding,
    /// Other programs hold ports.
    TakenPort,
    /// The relay socket of an allocation cannot be opened.
    NoFile,
    /// The relay socket of an allocation fails.
    BrokenSocket,
    /// The queue of a socket is full.
    Overrun,
    /// The kernel's flow table is small.
    FullMap,
    /// Workers stall for a while.
    Stall,
    /// Mail between workers is delayed.
    LateMail,
    /// The relay drains, then ends.
    Drain,
    /// The relay is killed and started again.
    Kill,
    /// The relay's clock jumps ahead.
    Jump,
    /// The wall clock jumps ahead or back.
    WallClock,
    /// The portal replaces the secret.
    Secret,
    /// The public address disappears and comes back.
    Address,
    /// A worker panics and begins anew.
    Panic,
    /// The rules about peers change.
    Rules,
}

impl Fault {
    /// All kinds.
    pub(super) const ALL: [Self; 22] = [
        Self::Loss,
        Self::Duplication,
        Self::Delay,
        Self::Spoofing,
        Self::Flood,
        Self::Restart,
        Self::Rebinding,
        Self::TakenPort,
        Self::NoFile,
        Self::BrokenSocket,
        Self::Overrun,
        Self::FullMap,
        Self::Stall,
        Self::LateMail,
        Self::Drain,
        Self::Kill,
        Self::Jump,
        Self::WallClock,
        Self::Secret,
        Self::Address,
        Self::Panic,
        Self::Rules,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A set of kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Faults(u32);

impl Faults {
    /// No kind.
    pub(super) const NONE: Self = Self(0);
    /// All kinds.
    pub(super) const ALL: Self = Self((1 << Fault::ALL.len()) - 1);

    pub(super) const fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u32 != 0
    }

    pub(super) const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// The kinds in both sets.
    pub(super) const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// The kinds whose bits are set.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

/// The names, separated by commas.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("none");
        }
        let names: Vec<_> = self.iter().map(Fault::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        text.split(',').try_fold(Self::NONE, |faults, name| {
            let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
            match fault {
                Some(fault) => Ok(Self(faults.0 | 1 << fault as u32)),
                None => Err(format!("`{name}` is no kind of fault; there are {}", Self::ALL)),
            }
        })
    }
}
