//! What goes wrong, by kind. Each kind can be left out, to find out which of them a failure needs.

use std::{fmt, str::FromStr};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Datagrams are lost.
    Loss,
    /// Datagrams arrive twice.
    Duplication,
    /// Datagrams are delayed, and so overtake one another.
    Delay,
    /// Strangers send noise, and changed copies of what others sent.
    Spoofing,
    /// Strangers of one prefix ask without end.
    Flood,
    /// A client forgets everything.
    Restart,
    /// A NAT gives a client another port.
    Rebinding,
    /// Other programs hold ports.
    TakenPort,
    /// The socket of an allocation cannot be opened.
    NoFile,
    /// The socket of an allocation fails.
    BrokenSocket,
    /// A queue of received datagrams is full.
    Overrun,
    /// The kernel takes few flows.
    FullMap,
    /// Workers stand still for a while.
    Stall,
    /// Mail between workers takes its time.
    LateMail,
    /// The relay takes no new allocations, and ends.
    Drain,
    /// The relay is killed and started again.
    Kill,
    /// The relay's clock jumps ahead.
    Jump,
    /// The wall clock jumps ahead or back.
    WallClock,
    /// The portal replaces the secret.
    Secret,
    /// The public address goes and comes back.
    Address,
    /// A worker panics, and begins anew.
    Panic,
    /// The rules about peers change.
    Rules,
}

impl Fault {
    /// Every kind.
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

/// The kinds of faults that may happen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Faults(u32);

impl Faults {
    /// None of them.
    pub(super) const NONE: Self = Self(0);
    /// All of them.
    pub(super) const ALL: Self = Self((1 << Fault::ALL.len()) - 1);

    pub(super) const fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u32 != 0
    }

    pub(super) const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// Those that both have.
    pub(super) const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those whose bit is set in `bits`.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }
}

/// The names, with commas between them.
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
