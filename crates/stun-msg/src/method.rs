use std::fmt;

/// A STUN [method](https://www.rfc-editor.org/rfc/rfc8489#section-18.2), 12 bits. Unknown methods keep their number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(u16);

impl Method {
    /// [Binding](https://www.rfc-editor.org/rfc/rfc8489#section-18.2).
    pub const BINDING: Self = Self(0x001);
    /// [Allocate](https://www.rfc-editor.org/rfc/rfc8656#section-17).
    pub const ALLOCATE: Self = Self(0x003);
    /// [Refresh](https://www.rfc-editor.org/rfc/rfc8656#section-17).
    pub const REFRESH: Self = Self(0x004);
    /// [Send](https://www.rfc-editor.org/rfc/rfc8656#section-17), an indication from a client.
    pub const SEND: Self = Self(0x006);
    /// [Data](https://www.rfc-editor.org/rfc/rfc8656#section-17), an indication to a client.
    pub const DATA: Self = Self(0x007);
    /// [CreatePermission](https://www.rfc-editor.org/rfc/rfc8656#section-17).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// [ChannelBind](https://www.rfc-editor.org/rfc/rfc8656#section-17).
    pub const CHANNEL_BIND: Self = Self(0x009);

    /// The method with this number. Only the lower 12 bits count.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number & 0x0FFF)
    }

    /// Its number, 0 to 0xFFF.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Its name in the RFCs, if this crate knows it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::BINDING => "Binding",
            Self::ALLOCATE => "Allocate",
            Self::REFRESH => "Refresh",
            Self::SEND => "Send",
            Self::DATA => "Data",
            Self::CREATE_PERMISSION => "CreatePermission",
            Self::CHANNEL_BIND => "ChannelBind",
            _ => return None,
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "method {:#05x}", self.0),
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
