//! Fuzzes [`relay_fuzz::response`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::response);
