//! Fuzzes [`relay_fuzz::request`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::request);
