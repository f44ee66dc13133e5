//! Fuzzes [`relay_fuzz::capture`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::capture);
