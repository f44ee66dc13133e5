//! Fuzzes [`relay_fuzz::snapshot`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::snapshot);
