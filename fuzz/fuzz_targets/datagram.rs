//! Fuzzes [`relay_fuzz::datagram`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::datagram);
