//! Fuzzes [`relay_fuzz::portal`].
#![cfg_attr(fuzzing, no_main)]

relay_fuzz::target!(relay_fuzz::portal);
